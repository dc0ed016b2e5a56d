// A small program that uses every op, with its backward list, encoded as src/engine/native/encode.ts does.
#pragma once

#include <cstddef>
#include <vector>

#include "relic/program.h"

namespace relic {

using Words = std::vector<double>;

constexpr double kDim = 3, kWidth = 4, kHeads = 2;
// Of draws of 16 bits: a fifth is dropped.
constexpr double kThreshold = 13107;

// Writes a program op by op; tensors and states are numbered in the order in which they are declared.
class ProgramBuilder {
 public:
  double tensor(double rows, double cols) {
    tensors_.insert(tensors_.end(), {rows, cols});
    return static_cast<double>(tensors_.size() / 2 - 1);
  }
  double state(double kind, double elements) {
    states_.insert(states_.end(), {kind, elements, 0});
    return static_cast<double>(states_.size() / 3 - 1);
  }
  void op(OpKind kind, const Words& inputs, const Words& outputs, const std::vector<Words>& slices,
          const Words& attributes) {
    count_++;
    for (Words* ops : {&training_, &scoring_}) {
      ops->push_back(static_cast<double>(kind));
      append(*ops, inputs);
      append(*ops, outputs);
      ops->push_back(static_cast<double>(slices.size()));
      for (const Words& slice : slices) ops->insert(ops->end(), slice.begin(), slice.end());
      append(*ops, attributes);
    }
  }

  double linear(double x, double rows, double in, double out) {
    const double y = tensor(rows, out), weight = state(0, in * out), bias = state(0, out);
    op(OpKind::linear, {x}, {y}, {{weight, 0, out, in}, {bias, 0, out, 1}}, {});
    return y;
  }
  double norm(OpKind kind, double x, double rows, Words attributes) {
    const double y = tensor(rows, kWidth);
    const double stats = kind == OpKind::layerNorm ? tensor(rows, 2) : tensor(2, kWidth);
    const double weight = state(0, kWidth), bias = state(0, kWidth);
    if (kind == OpKind::batchNorm) {
      for (const double elements : {kWidth, kWidth, 1.0}) attributes.push_back(state(1, elements));
    }
    op(kind, {x}, {y, stats}, {{weight, 0, kWidth, 1}, {bias, 0, kWidth, 1}}, attributes);
    return y;
  }
  double attention(double q, double kv, double rows, double segments, const Words& columns) {
    const double y = tensor(rows, kWidth), logSumExp = tensor(rows, kHeads);
    Words attributes = {kHeads, kWidth, segments};
    attributes.insert(attributes.end(), columns.begin(), columns.end());
    attributes.insert(attributes.end(), {kThreshold, 1.25, site_++});
    op(OpKind::attention, {q, kv}, {y, logSumExp}, {}, attributes);
    scoring_[scoring_.size() - 3] = 0;
    return y;
  }
  double dropout(OpKind kind, const Words& inputs, double rows) {
    const double y = tensor(rows, kWidth);
    op(kind, inputs, {y}, {}, {kThreshold, 1.25, site_++});
    scoring_[scoring_.size() - 3] = 0;
    return y;
  }
  double plain(OpKind kind, const Words& inputs, double rows, double cols, const Words& attributes) {
    const double y = tensor(rows, cols);
    op(kind, inputs, {y}, {}, attributes);
    return y;
  }
  double expand() {
    const double y = tensor(kPairs, kWidth);
    op(OpKind::expand, {}, {y}, {{state(0, kWidth), 0, kWidth, 1}}, {});
    return y;
  }

  // The same ops serve training and scoring, but for dropout; the first `prefix` are the encoder.
  Words finish(double prefix, double output, double logits, double loss) const {
    Words words = {kProgramMagic, kEncodingVersion, kDim};
    append(words, static_cast<double>(tensors_.size() / 2), tensors_);
    append(words, static_cast<double>(states_.size() / 3), states_);
    append(words, count_, training_);
    append(words, count_, scoring_);
    words.insert(words.end(), {prefix, output, logits, logits, loss});
    return words;
  }

 private:
  static void append(Words& words, double count, const Words& rest) {
    words.push_back(count);
    words.insert(words.end(), rest.begin(), rest.end());
  }
  static void append(Words& words, const Words& values) { append(words, static_cast<double>(values.size()), values); }

  Words tensors_, states_, training_, scoring_;
  double count_ = 0, site_ = 0;
};

inline Words everyOp() {
  ProgramBuilder p;
  const double gathered = p.plain(OpKind::gather, {}, kTokens, kDim, {});
  const double x = p.linear(gathered, kTokens, kDim, kWidth);
  const double normed = p.norm(OpKind::layerNorm, x, kTokens, {1e-5});
  const double packed = p.linear(normed, kTokens, kWidth, 3 * kWidth);
  const double mixed = p.attention(packed, packed, kTokens, 0, {0, kWidth, 2 * kWidth});
  const double dropped = p.dropout(OpKind::dropout, {mixed}, kTokens);
  const double sum = p.plain(OpKind::add, {x, dropped}, kTokens, kWidth, {});
  const double h = p.dropout(OpKind::stochasticDepth, {x, sum}, kTokens);
  const double a = p.plain(OpKind::sliceRows, {h}, kTokensA, kWidth, {0});
  const double b = p.plain(OpKind::sliceRows, {h}, kTokensB, kWidth, {1});
  const double fromB = p.attention(a, b, kTokensA, 1, {0, 0, 0});
  const double fromA = p.attention(b, fromB, kTokensB, 2, {0, 0, 0});
  const double both = p.plain(OpKind::concatRows, {fromB, fromA}, kTokens, kWidth, {});
  const double cls = p.attention(p.expand(), both, kPairs, 3, {0, 0, 0});
  const double scaled = p.norm(OpKind::batchNorm, cls, kPairs, {1e-5, 0.1});
  const double active = p.plain(OpKind::activation, {scaled}, kPairs, kWidth, {0});
  const double logits = p.linear(active, kPairs, kWidth, 1);
  const double loss = p.plain(OpKind::bceLoss, {logits}, kPairs, 1, {1, 0});
  return p.finish(8, h, logits, loss);
}

// The backward list of everyOp with everything trained.
inline Words everyGradient() {
  Words words = {kGradientsMagic, kEncodingVersion, 18};
  const auto op = [&](double index, const Words& inputs, size_t parameters) {
    words.insert(words.end(), {index, static_cast<double>(inputs.size())});
    words.insert(words.end(), inputs.begin(), inputs.end());
    words.push_back(static_cast<double>(parameters));
    words.insert(words.end(), parameters, 0.0);
  };
  op(18, {0}, 0);     // loss
  op(17, {0}, 2);     // logits
  op(16, {0}, 0);     // activation
  op(15, {0}, 2);     // batch norm
  op(14, {0, 0}, 0);  // query over both
  op(13, {}, 1);      // expand
  op(12, {0, 0}, 0);  // concat
  op(11, {0, 1}, 0);  // B over what A became
  op(10, {0, 1}, 0);  // A over B
  op(9, {0}, 0);      // B rows
  op(8, {1}, 0);      // A rows
  op(7, {0, 0}, 0);   // stochastic depth
  op(6, {1, 0}, 0);   // sum
  op(5, {0}, 0);      // dropout
  op(4, {0, 0}, 0);   // self attention
  op(3, {0}, 2);      // packed projection
  op(2, {1}, 2);      // layer norm
  op(1, {-1}, 2);     // input projection
  const Words trained = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13};
  words.push_back(static_cast<double>(trained.size()));
  words.insert(words.end(), trained.begin(), trained.end());
  return words;
}

}  // namespace relic
