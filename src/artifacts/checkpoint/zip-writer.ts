/** Writes ZIP archives laid out as PyTorch lays out its own: stored entries, aligned data, nothing that varies. */
import { crc32 } from 'node:zlib';
import { RelicError } from '../../errors.ts';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
/** What PyTorch aligns tensor data to, so that a file can be mapped. */
const ALIGNMENT = 64;

/** One entry to write; its content may come in parts. */
export interface ZipInput {
  readonly name: string;
  readonly data: Uint8Array;
}

/**
 * The chunks of an archive with stored entries, each one's data at a multiple of 64 bytes. The same inputs give the
 * same bytes: there is no time in it. Throws RELIC_CHECKPOINT_UNSUPPORTED at 4 GiB or 65,535 entries.
 */
export function* zipChunks(inputs: readonly ZipInput[]): Generator<Uint8Array> {
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, data } of inputs) {
    const nameBytes = Buffer.from(name);
    const crc = crc32(data);
    const padding = -(at + 30 + nameBytes.length + 4) & (ALIGNMENT - 1);
    directory.push(centralHeader(nameBytes, crc, data.length, at));
    yield localHeader(nameBytes, crc, data.length, padding);
    yield data;
    at += 30 + nameBytes.length + 4 + padding + data.length;
    if (at >= 0xffffffff || directory.length >= 0xffff)
      throw new RelicError('RELIC_CHECKPOINT_UNSUPPORTED', 'the checkpoint is too large for a .pth file', {
        expected: 'less than 4 GiB and 65,535 tensors',
        fix: 'write a .safetensors file',
      });
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(END, 0);
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(
    directory.reduce((sum, part) => sum + part.length, 0),
    12,
  );
  end.writeUInt32LE(at, 16);
  yield* directory;
  yield end;
}

/** The fields that the local and the central header share, from "version needed" on; the name is UTF-8. */
function sharedHeader(name: Buffer, crc: number, size: number, extraLength: number): Buffer {
  const header = Buffer.alloc(26);
  header.writeUInt16LE(10, 0);
  header.writeUInt16LE(0x0800, 2);
  // 1 January 1980, midnight: the first date the format has.
  header.writeUInt16LE(0x21, 8);
  header.writeUInt32LE(crc, 10);
  header.writeUInt32LE(size, 14);
  header.writeUInt32LE(size, 18);
  header.writeUInt16LE(name.length, 22);
  header.writeUInt16LE(extraLength, 24);
  return header;
}

function localHeader(name: Buffer, crc: number, size: number, padding: number): Buffer {
  const signature = Buffer.alloc(4);
  signature.writeUInt32LE(LOCAL, 0);
  const extra = Buffer.alloc(4 + padding, 'Z');
  // PyTorch pads with an extra field of this kind, "FB".
  extra.write('FB', 'latin1');
  extra.writeUInt16LE(padding, 2);
  return Buffer.concat([signature, sharedHeader(name, crc, size, extra.length), name, extra]);
}

function centralHeader(name: Buffer, crc: number, size: number, at: number): Buffer {
  const signature = Buffer.alloc(6);
  signature.writeUInt32LE(CENTRAL, 0);
  signature.writeUInt16LE(20, 4);
  const tail = Buffer.alloc(14);
  tail.writeUInt32LE(at, 10);
  return Buffer.concat([signature, sharedHeader(name, crc, size, 0), tail, name]);
}
