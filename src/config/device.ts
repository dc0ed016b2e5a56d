/** `device_config`: where the arithmetic runs, and how precisely. */
import Type from 'typebox';
import { flag, number, oneOf, optional, section } from './fields.ts';
import * as names from './names.ts';

export const device = section({
  device: oneOf(names.DEVICES, 'Where the arithmetic runs; `cuda` falls back to the CPU with a warning.', {
    default: 'cpu',
  }),
  engine: oneOf(names.ENGINES, 'Which engine does the arithmetic; any but `auto` makes a fallback an error.', {
    default: 'auto',
  }),
  threads: optional(
    Type.Integer({ minimum: 1, maximum: 1024 }),
    'CPU threads to use; null means all the process may use, or its part where several ranks of a node share them.',
  ),
  cpu_precision: oneOf(
    names.CPU_PRECISIONS,
    '`bf16` rounds the factors of large matrix products on the CPU to bfloat16, where it can (AMX, AVX512_BF16), for speed.',
    { default: 'fp32' },
  ),
  encoder_cache_mb: optional(
    Type.Integer({ minimum: 0 }),
    'MiB of encoder outputs that an evaluation on the CPU keeps, to encode each protein once; what does not fit is ' +
      'encoded anew. Null means an eighth of the memory, or its part where several ranks of a node share it.',
  ),
  ddp_enabled: flag('Train data-parallel when several processes are launched.', false),
  ddp_bucket_mb: number('Megabytes of gradients that ranks exchange at once; the first exchange is of 1 MB at most.', {
    default: 25,
    exclusiveMinimum: 0,
  }),
  use_mixed_precision: flag('16-bit arithmetic in training, on CUDA only.', false),
  amp_dtype: oneOf(
    names.AMP_DTYPES,
    'The 16-bit format: `bf16` has the range of float32; `fp16` rounds less and scales its loss.',
    { default: 'bf16' },
  ),
  amp_evaluation: flag(
    'Evaluate in the 16-bit format of mixed-precision training as well: faster, and scores move by its rounding.',
    false,
  ),
});
