"""The strongest PyTorch peer: V3 over packed rows, with the weights and the parameter names of the oracle.

Nothing is padded: one buffer holds the A proteins, then the B proteins. Attention is FlashAttention over sequences of any
length with its dropout (aten::_flash_attention_forward), queries, keys and values come from fused products, and whatever
torch.compile can fuse it may. Without a GPU, attention is computed sequence by sequence, for checking the rest.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.library.custom_op("relic::varlen_forward", mutates_args=())
def varlen_forward(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int,
                   p: float) -> tuple[Tensor, Tensor, Tensor]:
    """(tokens, heads, width) each; sequence i is rows cu[i] .. cu[i + 1]. Returns the output and what backward needs."""
    if q.is_cuda:
        out, log_sum_exp, state, _, _ = torch.ops.aten._flash_attention_forward(
            q, k, v, cu_q, cu_k, max_q, max_k, p, False, False)
        return out.contiguous(), log_sum_exp.contiguous(), state.clone()
    return (dense(q, k, v, cu_q, cu_k), q.new_zeros((q.shape[1], q.shape[0]), dtype=torch.float32),
            torch.zeros(2, dtype=torch.uint64))


@varlen_forward.register_fake
def _(q, k, v, cu_q, cu_k, max_q, max_k, p):
    return (q.new_empty(q.shape), q.new_empty((q.shape[1], q.shape[0]), dtype=torch.float32),
            q.new_empty(2, dtype=torch.uint64))


@torch.library.custom_op("relic::varlen_backward", mutates_args=())
def varlen_backward(d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, log_sum_exp: Tensor, state: Tensor,
                    cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int, p: float) -> tuple[Tensor, Tensor, Tensor]:
    if q.is_cuda:
        unused = torch.empty(0, device=q.device)
        gradients = torch.ops.aten._flash_attention_backward(
            d_out, q, k, v, out, log_sum_exp, cu_q, cu_k, max_q, max_k, p, False, state, unused)
        return tuple(each.contiguous() for each in gradients)
    gradients = [torch.empty_like(each) for each in (q, k, v)]
    for rows, seen in sequences(cu_q, cu_k):
        heads = (q[rows], k[seen], v[seen], d_out[rows])
        query, key, value, d = (each.transpose(0, 1) for each in heads)
        scale = q.shape[2] ** -0.5
        probabilities = (query @ key.transpose(1, 2) * scale).softmax(-1)
        d_probabilities = d @ value.transpose(1, 2)
        mean = (d_probabilities * probabilities).sum(-1, keepdim=True)
        d_scores = probabilities * (d_probabilities - mean) * scale
        parts = (d_scores @ key, d_scores.transpose(1, 2) @ query, probabilities.transpose(1, 2) @ d)
        for whole, where, part in zip(gradients, (rows, seen, seen), parts):
            whole[where] = part.transpose(0, 1)
    return tuple(gradients)


@varlen_backward.register_fake
def _(d_out, q, k, v, out, log_sum_exp, state, cu_q, cu_k, max_q, max_k, p):
    return tuple(each.new_empty(each.shape) for each in (q, k, v))


def keep(ctx, inputs, output):
    q, k, v, cu_q, cu_k, ctx.max_q, ctx.max_k, ctx.p = inputs
    ctx.save_for_backward(q, k, v, *output, cu_q, cu_k)


def differentiate(ctx, d_out, *_):
    q, k, v, out, log_sum_exp, state, cu_q, cu_k = ctx.saved_tensors
    gradients = varlen_backward(d_out.contiguous(), q, k, v, out, log_sum_exp, state, cu_q, cu_k, ctx.max_q, ctx.max_k,
                                ctx.p)
    return *gradients, None, None, None, None, None


varlen_forward.register_autograd(differentiate, setup_context=keep)


def sequences(cu_q, cu_k):
    """Slices of query rows and of key rows."""
    return [(slice(a, b), slice(c, d)) for a, b, c, d in zip(*(x.tolist() for x in (cu_q, cu_q[1:], cu_k, cu_k[1:])))]


def dense(q, k, v, cu_q, cu_k):
    """Attention without dropout, one sequence after the other."""
    out = torch.empty_like(q)
    for rows, seen in sequences(cu_q, cu_k):
        heads = (each.transpose(0, 1) for each in (q[rows], k[seen], v[seen]))
        out[rows] = F.scaled_dot_product_attention(*heads).transpose(0, 1)
    return out.contiguous()


def ends(lengths: Tensor) -> Tensor:
    return F.pad(lengths.cumsum(0), (1, 0)).int()


class Batch:
    """Where the rows of a batch lie in the store and in the packed buffer; all tensors on the device of `offsets`."""

    def __init__(self, offsets: Tensor, lengths: Tensor, batch):
        device = offsets.device
        a, b, labels = (torch.as_tensor(each, device=device) for each in batch)
        proteins = torch.cat([a, b]).long()
        count = lengths[proteins]
        sequence = torch.repeat_interleave(count)
        within = torch.arange(len(sequence), device=device) - ends(count)[:-1][sequence]
        rows = offsets[proteins][sequence] + within
        tokens_a, pairs = int(count[: len(a)].sum()), len(a)
        self.rows_a, self.rows_b = rows[:tokens_a], rows[tokens_a:]
        self.sequence, self.labels = sequence, labels.float()
        self.cu, self.cu_a, self.cu_b = ends(count), ends(count[:pairs]), ends(count[pairs:])
        # The CLS query of a pair sees its A rows, then its B rows.
        self.by_pair = torch.argsort(sequence % pairs, stable=True)
        both = count[:pairs] + count[pairs:]
        self.cu_pair, self.cu_cls = ends(both), torch.arange(pairs + 1, device=device).int()
        # (pairs, longest): the same rows padded with -1.
        self.padded = torch.nn.utils.rnn.pad_sequence(self.by_pair.split(both.tolist()), batch_first=True, padding_value=-1)

    def tensors(self):
        return (self.rows_a, self.rows_b, self.sequence, self.cu, self.cu_a, self.cu_b, self.by_pair, self.cu_pair,
                self.cu_cls, self.padded)


class PackedV3(nn.Module):
    """Shares the modules of `oracle`, a V3 of v3_torch.py. `longest` bounds the length of any protein.

    `absorb`: the CLS query's keys and values are never made. Scores are (K^T q) x, the output is V (sum of p x) and the bias
    by the kept mass; the key bias moves all scores of a query alike.
    """

    def __init__(self, oracle, longest: int, absorb: bool = False):
        super().__init__()
        self.encoder, self.cross_attention, self.output_head = oracle.encoder, oracle.cross_attention, oracle.output_head
        self.longest, self.absorb = longest, absorb

    def attend(self, module, q, k, v, cu_q, cu_k, max_q, max_k):
        split = lambda x: x.unflatten(1, (module.num_heads, -1))
        p = module.dropout if self.training else 0.0
        out, _, _ = varlen_forward(split(q), split(k), split(v), cu_q, cu_k, max_q, max_k, p)
        return module.out_proj(out.flatten(1))

    def cross_attend(self, module, query, other, cu_q, cu_k, max_q, max_k, order=None):
        width = query.shape[1]
        q = F.linear(query, module.in_proj_weight[:width], module.in_proj_bias[:width])
        kv = F.linear(other, module.in_proj_weight[width:], module.in_proj_bias[width:])
        if order is not None:
            kv = kv.index_select(0, order)
        k, v = kv.chunk(2, 1)
        return self.attend(module, q, k, v, cu_q, cu_k, max_q, max_k)

    def pool(self, module, query, other, padded):
        """Attention of one query a pair, absorbed, over its rows padded to the longest pair."""
        width, heads = query.shape[1], module.num_heads
        q = F.linear(query, module.in_proj_weight[:width], module.in_proj_bias[:width]).unflatten(1, (heads, -1))
        key, value = (each.unflatten(0, (heads, -1)) for each in module.in_proj_weight[width:].chunk(2))
        x = other.index_select(0, padded.clamp(min=0).flatten()).unflatten(0, padded.shape)
        scores = torch.einsum("bhw,hwd->bhd", q, key) @ x.transpose(1, 2) * (heads / width) ** 0.5
        scores = scores.float().masked_fill((padded < 0).unsqueeze(1), float("-inf"))
        p = F.dropout(scores.softmax(-1), module.dropout, self.training)
        out = torch.einsum("bhd,hwd->bhw", p.to(x.dtype) @ x, value)
        out = out + p.sum(-1, keepdim=True) * module.in_proj_bias[2 * width :].unflatten(0, (heads, -1))
        return module.out_proj(out.flatten(1))

    def encode(self, x, sequence, cu):
        encoder = self.encoder
        h = encoder.token_dropout(encoder.input_projection(x))
        for layer, path in zip(encoder.layers, encoder.drop_paths):
            q, k, v = F.linear(layer.norm1(h), layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias).chunk(3, 1)
            r = h + layer.dropout1(self.attend(layer.self_attn, q, k, v, cu, cu, self.longest, self.longest))
            ffn = layer.linear2(layer.dropout(F.gelu(layer.linear1(layer.norm2(r)))))
            r = r + layer.dropout2(ffn)
            if self.training and path.p > 0:
                keep = 1.0 - path.p
                gates = (torch.rand(cu.shape[0] - 1, 1, device=h.device) < keep).to(h.dtype) / keep
                r = h + gates[sequence] * (r - h)
            h = r
        return encoder.output_norm(h)

    def update(self, layer, query, other, cu_q, cu_k):
        mixed = self.cross_attend(layer.attn, layer.norm_attn(query), other, cu_q, cu_k, self.longest, self.longest)
        query = query + layer.drop_attn(mixed)
        return query + layer.drop_ffn(layer.ffn(layer.norm_ffn(query)))

    def forward(self, store, rows_a, rows_b, sequence, cu, cu_a, cu_b, by_pair, cu_pair, cu_cls, padded):
        """store: (rows of all proteins, dim). Returns logits (pairs)."""
        h = self.encode(store.index_select(0, torch.cat([rows_a, rows_b])), sequence, cu)
        a, b = h[: rows_a.shape[0]], h[rows_a.shape[0] :]
        cls = self.cross_attention.cls_token.reshape(1, -1).expand(cu_cls.shape[0] - 1, -1)
        for layer in self.cross_attention.layers:
            a = self.update(layer, a, b, cu_a, cu_b)
            b = self.update(layer, b, a, cu_b, cu_a)
            query, both = layer.norm_cls_attn(cls), torch.cat([a, b])
            if self.absorb:
                mixed = self.pool(layer.attn_cls, query, both, padded)
            else:
                mixed = self.cross_attend(layer.attn_cls, query, both, cu_cls, cu_pair, 1, 2 * self.longest, by_pair)
            cls = cls + layer.drop_cls_attn(mixed)
            cls = cls + layer.drop_cls_ffn(layer.ff_cls(layer.norm_cls_ffn(cls)))
        return self.output_head(cls).squeeze(-1)
