/**
 * The one error type of the package. Every failure a user can cause says what was expected, what was received,
 * where (file:line:column, config key, pair line) and how to fix it, and carries a stable `code`.
 */

/** What ends the process with which exit status; documented in the README. */
export const EXIT = {
  ok: 0,
  internal: 1,
  usage: 2,
  data: 3,
  checkpoint: 4,
  io: 5,
  engine: 6,
  rendezvous: 70,
  peerFailed: 71,
  selfHung: 72,
  preempted: 85,
  interrupted: 130,
  terminated: 143,
} as const;

/** Stable error codes and the exit status each one ends the process with. Codes are an API: add, never rename. */
export const ERROR_EXIT = {
  RELIC_USAGE: EXIT.usage,
  RELIC_CONFIG_INVALID: EXIT.usage,
  RELIC_CONFIG_SYNTAX: EXIT.usage,
  RELIC_CONFIG_NOT_FOUND: EXIT.usage,
  RELIC_MODEL_UNKNOWN: EXIT.usage,
  RELIC_PROGRAM_INVALID: EXIT.internal,
  RELIC_PAIRS_NOT_FOUND: EXIT.data,
  RELIC_PAIRS_INVALID: EXIT.data,
  RELIC_PAIRS_EMPTY: EXIT.data,
  RELIC_FASTA_INVALID: EXIT.data,
  RELIC_EMBEDDING_MISSING: EXIT.data,
  RELIC_EMBEDDING_INVALID: EXIT.data,
  RELIC_EMBEDDING_SOURCE: EXIT.data,
  RELIC_STORE_INVALID: EXIT.data,
  RELIC_BATCH_INVALID: EXIT.data,
  RELIC_CHECKPOINT_NOT_FOUND: EXIT.checkpoint,
  RELIC_CHECKPOINT_INVALID: EXIT.checkpoint,
  RELIC_CHECKPOINT_UNSAFE: EXIT.checkpoint,
  RELIC_CHECKPOINT_UNSUPPORTED: EXIT.checkpoint,
  RELIC_CHECKPOINT_MISMATCH: EXIT.checkpoint,
  RELIC_CSV_MISMATCH: EXIT.io,
  RELIC_IO: EXIT.io,
  RELIC_NO_SPACE: EXIT.io,
  RELIC_NOT_WRITABLE: EXIT.io,
  RELIC_ENGINE_UNAVAILABLE: EXIT.engine,
  RELIC_ENGINE_DISPOSED: EXIT.engine,
  RELIC_ENGINE_BUSY: EXIT.engine,
  RELIC_ENGINE_CALL: EXIT.internal,
  RELIC_OUT_OF_MEMORY: EXIT.engine,
  RELIC_DEVICE_FAILED: EXIT.engine,
  RELIC_NOT_FINITE: EXIT.engine,
  RELIC_RANKS: EXIT.rendezvous,
  RELIC_INTERRUPTED: EXIT.interrupted,
  RELIC_PREEMPTED: EXIT.preempted,
} as const;

export type ErrorCode = keyof typeof ERROR_EXIT;

/** One fault in a list of faults, such as every bad key of a config. */
export interface Problem {
  /** `path/to/file:line:column`, a config key, or whatever leads the reader to the fault. */
  readonly where: string;
  readonly message: string;
}

/** Parts of a message; the constructor words them in one order everywhere. */
export interface ErrorDetails {
  /** What was wanted, in a noun phrase: `an integer above 0`. */
  readonly expected?: string;
  /** What came instead. Use {@link shown} for values. */
  readonly received?: string;
  /** Where: file:line:column, config key, pair line. */
  readonly where?: string;
  /** What to do about it. */
  readonly fix?: string;
  readonly problems?: readonly Problem[];
  readonly cause?: unknown;
  /** Another process of the run says it for this one too. */
  readonly toldElsewhere?: boolean;
}

/** A failure with a stable {@link ErrorCode}; `exitCode` is what the program ends with. */
export class RelicError extends Error {
  override readonly name = 'RelicError';
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];
  readonly toldElsewhere: boolean;

  /** @param subject what the error is about, one short sentence without a full stop. */
  constructor(code: ErrorCode, subject: string, details: ErrorDetails = {}) {
    super(worded(subject, details), details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.problems = details.problems ?? [];
    this.toldElsewhere = details.toldElsewhere ?? false;
  }

  get exitCode(): number {
    return ERROR_EXIT[this.code];
  }
}

function worded(subject: string, details: ErrorDetails): string {
  let text = details.where === undefined ? subject : `${details.where}: ${subject}`;
  if (details.expected !== undefined) text += `: expected ${details.expected}`;
  if (details.received !== undefined)
    text += `${details.expected === undefined ? ': ' : ', '}received ${details.received}`;
  for (const problem of details.problems ?? []) text += `\n  ${problem.where}: ${problem.message}`;
  if (details.fix !== undefined) text += `\n  fix: ${details.fix}`;
  return text;
}

/** A value as an error message shows it: its JSON (cut at 60 characters) and its kind. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'number' || typeof value === 'bigint') return `${String(value)} (number)`;
  const kind = Array.isArray(value) ? 'list' : typeof value === 'object' ? 'mapping' : typeof value;
  const text = JSON.stringify(value) ?? String(value);
  return `${text.length > 60 ? `${text.slice(0, 57)}...` : text} (${kind})`;
}

/** The nearest of `names` to `word` by edit distance, if near enough to be a likely slip; for "did you mean". */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** Damerau's distance: insertions, deletions, substitutions and swaps of neighbours, one each. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], beforeLast[j - 2] + 1);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length];
}
