/** Ranks that are promises of one process, for tests of what ranks agree on. */
import type { Group } from '../../src/distributed/group.ts';

/** Groups of `size` ranks. A rank that makes another call than the others fails all of them. */
export function inProcessGroups(size: number): Group[] {
  interface Call {
    readonly what: string;
    readonly parts: (Uint8Array | null)[];
    given: number;
    readonly done: PromiseWithResolvers;
  }
  const calls: Call[] = [];
  const gather = (rank: number, index: number, what: string, bytes: Uint8Array | null) => {
    calls[index] ??= { what, parts: [], given: 0, done: withResolvers() };
    const call = calls[index];
    if (call.what !== what) call.done.reject(new Error(`rank ${rank} is at ${what}, another at ${call.what}`));
    call.parts[rank] = bytes;
    call.given++;
    if (call.given === size) call.done.resolve();
    return call.done.promise.then(() => call.parts);
  };
  return Array.from({ length: size }, (_, rank): Group => {
    let next = 0;
    return {
      rank,
      size,
      localRank: rank,
      allGather: async (what, bytes) => (await gather(rank, next++, what, bytes)) as Uint8Array[],
      broadcast: async (what, bytes) => (await gather(rank, next++, what, bytes))[0] as Uint8Array,
      progress() {},
    };
  });
}

interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

function withResolvers(): PromiseWithResolvers {
  let resolve = () => {};
  let reject = (_: Error) => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
