/** Tensors as files hold them, and conversion between their number formats. Bytes are little-endian throughout. */

const DTYPES = {
  float32: { array: Float32Array, safetensors: 'F32', storage: 'FloatStorage' },
  float64: { array: Float64Array, safetensors: 'F64', storage: 'DoubleStorage' },
  float16: { array: Uint16Array, safetensors: 'F16', storage: 'HalfStorage' },
  bfloat16: { array: Uint16Array, safetensors: 'BF16', storage: 'BFloat16Storage' },
  int64: { array: BigInt64Array, safetensors: 'I64', storage: 'LongStorage' },
  int32: { array: Int32Array, safetensors: 'I32', storage: 'IntStorage' },
  int16: { array: Int16Array, safetensors: 'I16', storage: 'ShortStorage' },
  int8: { array: Int8Array, safetensors: 'I8', storage: 'CharStorage' },
  uint8: { array: Uint8Array, safetensors: 'U8', storage: 'ByteStorage' },
  bool: { array: Uint8Array, safetensors: 'BOOL', storage: 'BoolStorage' },
} as const;

/** PyTorch's names. float16 and bfloat16 are held as their bits in a Uint16Array, bool as 0 and 1 in a Uint8Array. */
export type DType = keyof typeof DTYPES;

export type TensorData =
  | Float32Array
  | Float64Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

/** A row-major tensor; `data` has as many elements as the product of `shape` ([] is one element). */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** May be a view of memory shared with other tensors of the same file: do not write to it. */
  readonly data: TensorData;
}

/** What a checkpoint file holds. */
export interface TensorFile {
  readonly tensors: Map<string, NamedTensor>;
  readonly metadata: Record<string, string>;
}

export const dtypeNames = Object.keys(DTYPES) as DType[];

/** Bytes per element. */
export function elementSize(dtype: DType): number {
  return DTYPES[dtype].array.BYTES_PER_ELEMENT;
}

/** The dtype's name in a safetensors header. */
export function safetensorsName(dtype: DType): string {
  return DTYPES[dtype].safetensors;
}

/** The dtype's storage class in PyTorch. */
export function storageName(dtype: DType): string {
  return DTYPES[dtype].storage;
}

/** Product of the sizes; 1 for []. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The bytes as elements: a view where the alignment allows it, else a copy. */
export function elementsOf(dtype: DType, bytes: Uint8Array): TensorData {
  const { array } = DTYPES[dtype];
  // Not slice(), which is a view where the bytes are a Buffer.
  const aligned = bytes.byteOffset % array.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / array.BYTES_PER_ELEMENT);
}

/** The elements as bytes, a view. */
export function bytesOf(data: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** A new zero array for `count` elements. */
export function allocate(dtype: DType, count: number): TensorData {
  return new DTYPES[dtype].array(count);
}

/** The values in single precision; float32 data is returned as it is, int64 and float64 are rounded. */
export function toFloat32(tensor: Pick<NamedTensor, 'dtype' | 'data'>): Float32Array {
  const { dtype, data } = tensor;
  if (data instanceof Float32Array) return data;
  if (data instanceof BigInt64Array) return Float32Array.from(data, Number);
  if (data instanceof Uint16Array) return dtype === 'float16' ? float16ToFloat32(data) : bfloat16ToFloat32(data);
  return Float32Array.from(data);
}

/** IEEE 754 binary16 bits to single precision, exact. */
export function float16ToFloat32(half: Uint16Array): Float32Array {
  const values = new Float32Array(half.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < half.length; i++) {
    const h = half[i];
    const exponent = (h >>> 10) & 31;
    const fraction = h & 0x3ff;
    if (exponent === 0) values[i] = (h & 0x8000 ? -fraction : fraction) * 2 ** -24;
    else bits[i] = ((h & 0x8000) << 16) | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  }
  return values;
}

/** bfloat16 bits to single precision, exact. */
export function bfloat16ToFloat32(brain: Uint16Array): Float32Array {
  const bits = new Uint32Array(brain.length);
  for (let i = 0; i < brain.length; i++) bits[i] = brain[i] << 16;
  return new Float32Array(bits.buffer);
}

/** Single precision to IEEE 754 binary16 bits, to nearest, ties to even; above 65519.99 becomes infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const half = new Uint16Array(values.length);
  const scratch = new Float32Array(1);
  const scratchBits = new Uint32Array(scratch.buffer);
  for (let i = 0; i < values.length; i++) {
    const magnitude = bits[i] & 0x7fffffff;
    let h: number;
    if (magnitude > 0x7f800000) h = 0x7e00;
    else if (magnitude >= 0x477ff000) h = 0x7c00;
    else if (magnitude >= 0x38800000) h = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    else {
      // A subnormal result: next to 0.5 a float32 has the spacing 2^-24 of binary16's subnormals, so the sum rounds.
      scratch[0] = Math.abs(values[i]) + 0.5;
      h = scratchBits[0] - 0x3f000000;
    }
    half[i] = h | ((bits[i] >>> 16) & 0x8000);
  }
  return half;
}

/** Single precision to bfloat16 bits, to nearest, ties to even. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const brain = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const x = bits[i];
    const notANumber = (x & 0x7fffffff) > 0x7f800000;
    brain[i] = notANumber ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return brain;
}
