/**
 * A pickle reader that executes nothing (Python's pickletools names the opcodes). A pickle is a program for a stack
 * machine; the one dangerous thing it can do is to fetch a name with GLOBAL and call it with REDUCE. Here a name is
 * looked up in a closed list given by the caller, and what is called is a function of ours that builds plain data.
 */
import { RelicError } from '../../errors.ts';
import { damaged } from './source.ts';

/** A tuple, kept apart from lists, which a pickle may still change. */
export class PickleTuple {
  readonly items: readonly unknown[];
  constructor(items: readonly unknown[]) {
    this.items = items;
  }
}

/** A permitted name. Without `call` it is only a value, such as a dtype. */
export interface PickleGlobal {
  readonly name: string;
  /** Stands in for calling it; throws an Error saying what is wrong with the arguments. */
  readonly call?: (args: readonly unknown[]) => unknown;
}

export interface PickleRules {
  /** The closed list: `module name` to what it stands for. */
  readonly globals: ReadonlyMap<string, PickleGlobal>;
  /** Resolves a persistent id; throws an Error saying what is wrong with it. */
  readonly persistent?: (id: unknown) => unknown;
}

/** About 160,000 tensors; with it no input makes the reader hold more than a few hundred megabytes. */
const MOST_OPCODES = 4_000_000;
const DEEPEST_MARK = 1000;
const HIGHEST_PROTOCOL = 5;

/**
 * Reads one pickle from `start`: dicts become Maps, lists arrays, tuples {@link PickleTuple}, integers beyond 2^53
 * bigints. Values may be shared or contain themselves: do not walk them without a bound.
 * @returns the value, and the offset after its STOP opcode.
 * @throws RelicError RELIC_CHECKPOINT_UNSAFE for a name outside `rules.globals`, RELIC_CHECKPOINT_UNSUPPORTED for an
 * opcode PyTorch does not write, RELIC_CHECKPOINT_INVALID for damage; each names the byte offset.
 */
export function readPickle(
  bytes: Uint8Array,
  label: string,
  rules: PickleRules,
  start = 0,
): { value: unknown; end: number } {
  const machine = new Machine(bytes, label, rules, start);
  return { value: machine.run(), end: machine.at };
}

class Machine {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #label: string;
  readonly #rules: PickleRules;
  readonly #memo = new Map<number, unknown>();
  readonly #marks: unknown[][] = [];
  #stack: unknown[] = [];
  /** Offset of the opcode being done, for errors. */
  #opcodeAt: number;

  constructor(bytes: Uint8Array, label: string, rules: PickleRules, start: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#label = label;
    this.#rules = rules;
    this.at = start;
    this.#opcodeAt = start;
  }

  run(): unknown {
    for (let count = 0; count < MOST_OPCODES; count++) {
      this.#opcodeAt = this.at;
      const opcode = String.fromCharCode(this.#bytes[this.#take(1)]);
      if (opcode === '.') return this.#pop();
      if (!this.#push(opcode) && !this.#combine(opcode)) throw this.#unsupported(opcode);
    }
    throw this.#invalid(`pickle of more than ${MOST_OPCODES} opcodes`);
  }

  /** Opcodes that put a value on the stack without taking one. */
  #push(opcode: string): boolean {
    const stack = this.#stack;
    const view = this.#view;
    // biome-ignore format: a table reads better than 30 short lines
    switch (opcode) {
      case 'N': stack.push(null); return true;
      case '\x88': stack.push(true); return true;
      case '\x89': stack.push(false); return true;
      case 'K': stack.push(view.getUint8(this.#take(1))); return true;
      case 'M': stack.push(view.getUint16(this.#take(2), true)); return true;
      case 'J': stack.push(view.getInt32(this.#take(4), true)); return true;
      case 'G': stack.push(view.getFloat64(this.#take(8), false)); return true;
      case '\x8a': stack.push(this.#long(view.getUint8(this.#take(1)))); return true;
      case 'X': stack.push(this.#text(view.getUint32(this.#take(4), true))); return true;
      case '\x8c': stack.push(this.#text(view.getUint8(this.#take(1)))); return true;
      case 'U': stack.push(this.#text(view.getUint8(this.#take(1)))); return true;
      case ')': stack.push(new PickleTuple([])); return true;
      case ']': stack.push([]); return true;
      case '}': stack.push(new Map()); return true;
      case 'c': stack.push(this.#global(this.#line(), this.#line())); return true;
      case 'h': stack.push(this.#recall(view.getUint8(this.#take(1)))); return true;
      case 'j': stack.push(this.#recall(view.getUint32(this.#take(4), true))); return true;
      default: return false;
    }
  }

  /** Opcodes that work on what the stack holds. */
  #combine(opcode: string): boolean {
    // biome-ignore format: a table reads better than 30 short lines
    switch (opcode) {
      case '\x80': this.#protocol(this.#bytes[this.#take(1)]); return true;
      case '\x95': this.#take(8); return true; // FRAME: a hint about buffering
      case '(': this.#mark(); return true;
      case 'q': this.#memo.set(this.#bytes[this.#take(1)], this.#top()); return true;
      case 'r': this.#memo.set(this.#view.getUint32(this.#take(4), true), this.#top()); return true;
      case '\x94': this.#memo.set(this.#memo.size, this.#top()); return true;
      case 't': this.#tuple(this.#popMark()); return true;
      case '\x85': this.#tuple(this.#popMany(1)); return true;
      case '\x86': this.#tuple(this.#popMany(2)); return true;
      case '\x87': this.#tuple(this.#popMany(3)); return true;
      case 'a': this.#append(this.#popMany(1)); return true;
      case 'e': this.#append(this.#popMark()); return true;
      case 's': this.#setItems(this.#popMany(2)); return true;
      case 'u': this.#setItems(this.#popMark()); return true;
      case '\x93': this.#stackGlobal(); return true;
      case 'Q': this.#persistent(this.#pop()); return true;
      case 'R': this.#reduce(); return true;
      case 'b': this.#build(); return true;
      default: return false;
    }
  }

  /** Moves past `count` bytes and returns where they start. */
  #take(count: number): number {
    const from = this.at;
    if (from + count > this.#bytes.length) throw this.#invalid('pickle ends in the middle');
    this.at += count;
    return from;
  }

  #text(length: number): string {
    const from = this.#take(length);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + from, length).toString('utf8');
  }

  /** The rest of the line, as GLOBAL has its two names. */
  #line(): string {
    const end = this.#bytes.indexOf(10, this.at);
    if (end < 0) throw this.#invalid('pickle ends in the middle of a name');
    const text = this.#text(end - this.at);
    this.at = end + 1;
    return text;
  }

  /** A little-endian two's complement integer. */
  #long(length: number): number | bigint {
    const from = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[from + i]);
    const signed = BigInt.asIntN(length * 8, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }

  #protocol(version: number): void {
    if (version > HIGHEST_PROTOCOL) throw this.#invalid(`unknown pickle protocol ${version}`);
  }

  #mark(): void {
    if (this.#marks.length === DEEPEST_MARK) throw this.#invalid(`pickle nested more than ${DEEPEST_MARK} deep`);
    this.#marks.push(this.#stack);
    this.#stack = [];
  }

  #popMark(): unknown[] {
    const items = this.#stack;
    const outer = this.#marks.pop();
    if (outer === undefined) throw this.#invalid('pickle closes a group that it did not open');
    this.#stack = outer;
    return items;
  }

  #popMany(count: number): unknown[] {
    if (this.#stack.length < count) throw this.#invalid('pickle takes a value from an empty stack');
    return this.#stack.splice(this.#stack.length - count, count);
  }

  #pop(): unknown {
    return this.#popMany(1)[0];
  }

  #top(): unknown {
    if (this.#stack.length === 0) throw this.#invalid('pickle uses a value from an empty stack');
    return this.#stack[this.#stack.length - 1];
  }

  #recall(key: number): unknown {
    if (!this.#memo.has(key)) throw this.#invalid(`pickle recalls memo ${key}, which it never stored`);
    return this.#memo.get(key);
  }

  #tuple(items: unknown[]): void {
    this.#stack.push(new PickleTuple(items));
  }

  #append(items: unknown[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#invalid('pickle appends to something that is not a list');
    for (const item of items) list.push(item);
  }

  #setItems(items: unknown[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map) || items.length % 2 !== 0)
      throw this.#invalid('pickle sets items of something that is not a dict');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  }

  #stackGlobal(): void {
    const [module, name] = this.#popMany(2);
    if (typeof module !== 'string' || typeof name !== 'string') throw this.#invalid('pickle names a global by no text');
    this.#stack.push(this.#global(module, name));
  }

  #global(module: string, name: string): PickleGlobal {
    const known = this.#rules.globals.get(`${module} ${name}`);
    if (known !== undefined) return known;
    throw new RelicError(
      'RELIC_CHECKPOINT_UNSAFE',
      `the file asks Python to import ${JSON.stringify(`${module}.${name}`.slice(0, 200))}; nothing was executed`,
      {
        where: this.#where(),
        expected: 'only names that build tensors',
        fix: 'if you trust the file, load it in PyTorch and save its tensors alone: torch.save(model.state_dict(), path)',
      },
    );
  }

  #persistent(id: unknown): void {
    const resolve = this.#rules.persistent;
    if (resolve === undefined) throw this.#invalid('pickle refers to data outside itself');
    this.#stack.push(this.#guarded(() => resolve(id)));
  }

  #reduce(): void {
    const [callee, args] = this.#popMany(2);
    // Only rules.globals hold functions, so nothing a pickle can build has a `call`.
    const call = (callee as PickleGlobal | null)?.call;
    if (typeof call !== 'function' || !(args instanceof PickleTuple))
      throw this.#invalid('pickle calls something that cannot be called');
    this.#stack.push(this.#guarded(() => call(args.items)));
  }

  /** PyTorch hangs `_metadata` (module versions) on the dict of a state dict; nothing here needs it. */
  #build(): void {
    this.#pop();
    if (!(this.#top() instanceof Map)) throw this.#invalid('pickle sets attributes of something that is not a dict');
  }

  #guarded(action: () => unknown): unknown {
    try {
      return action();
    } catch (error) {
      throw this.#invalid((error as Error).message);
    }
  }

  #where(): string {
    return `${this.#label}, byte ${this.#opcodeAt}`;
  }

  #invalid(subject: string): RelicError {
    return damaged(this.#where(), subject);
  }

  #unsupported(opcode: string): RelicError {
    const code = opcode.charCodeAt(0).toString(16).padStart(2, '0');
    return new RelicError('RELIC_CHECKPOINT_UNSUPPORTED', `pickle opcode 0x${code}`, {
      where: this.#where(),
      expected: 'the opcodes torch.save writes for tensors',
      fix: 'load the file in PyTorch and save its tensors alone: torch.save(model.state_dict(), path)',
    });
  }
}
