/**
 * A stage's log: `log.log` in RELIC's line format (contract 1.3) and `events.jsonl` with the same records for
 * programs. Every record is with the operating system when the call returns, so a killed run loses none.
 */
import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { type EventLog, eventBody, type Fields, type FieldValue, Float } from '../log.ts';
import { writeConsole } from './console.ts';
import { ioError, writeFully } from './files.ts';

export interface StageLogOptions {
  /** Existing directory of both files, which are appended to. */
  readonly directory: string;
  readonly model: string;
  readonly stage: string;
  readonly runId: string;
  /** Ranks above 0 write nothing at all. */
  readonly rank: number;
  /** Whether {@link EventLog.note} also writes a text line; true unless given. */
  readonly noteLines?: boolean;
  /** Where text lines go besides log.log; stderr unless given. */
  readonly output?: (line: string) => void;
  /** Whether text lines also go to stderr; true unless given. */
  readonly stderr?: boolean;
  /** Called before a line goes to stderr, to take a progress line off the terminal. */
  readonly beforeConsole?: () => void;
  /** The clock, for tests. */
  readonly now?: () => Date;
}

interface Sink {
  readonly path: string;
  readonly fd: number;
}

export type Level = 'info' | 'warn' | 'error';

const CHUNK = 2 ** 16;
const LEVEL_NAMES: Record<Level, string> = { info: 'INFO', warn: 'WARNING', error: 'ERROR' };

/** @throws RelicError RELIC_NO_SPACE, RELIC_NOT_WRITABLE or RELIC_IO from the constructor and from every record. */
export class StageLog implements EventLog {
  readonly #options: StageLogOptions;
  readonly #name: string;
  readonly #sinks: Sink[] = [];
  readonly #logger: Logger | undefined;
  /** Of the record being written. */
  #at = new Date(0);

  constructor(options: StageLogOptions) {
    this.#options = options;
    this.#name = loggerName(options);
    if (options.rank > 0) return;
    for (const file of ['events.jsonl', 'log.log']) this.#sinks.push(openSink(join(options.directory, file)));
    const timestamp = () => `,"time":${this.#at.getTime()}`;
    const destination = { write: (line: string) => this.#append(0, line) };
    this.#logger = pino({ base: { logger: this.#name }, timestamp }, destination);
  }

  event(name: string, fields: Fields = {}): void {
    this.#record('info', name, fields, eventBody(name, fields));
  }

  heartbeat(text: string, fields: Fields = {}): void {
    this.#record('info', 'heartbeat', fields, text);
  }

  warning(name: string, fields: Fields = {}): void {
    this.#record('warn', name, fields, eventBody(name, fields));
  }

  error(name: string, fields: Fields = {}): void {
    this.#record('error', name, fields, eventBody(name, fields));
  }

  note(level: 'info' | 'warning', name: string, fields: Fields = {}): void {
    const body = this.#options.noteLines === false ? undefined : eventBody(name, fields);
    this.#record(level === 'info' ? 'info' : 'warn', name, fields, body);
  }

  /** Flushes both files to the disk and closes them; records after it are dropped. */
  close(): void {
    for (const { fd, path } of this.#sinks.splice(0)) {
      try {
        fsyncSync(fd);
      } catch (error) {
        // A pipe or device cannot be synced, and has nothing to lose.
        if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw ioError(error, path, 'write log');
      } finally {
        closeSync(fd);
      }
    }
  }

  /** Without a body there is no text line. */
  #record(level: Level, event: string, fields: Fields, body: string | undefined): void {
    if (this.#logger === undefined || this.#sinks.length === 0) return;
    this.#at = this.#options.now?.() ?? new Date();
    this.#logger[level]({ event, ...jsonFields(fields) });
    if (body === undefined) return;
    const line = textLine(this.#at, level, this.#name, body);
    this.#append(1, line);
    if (this.#options.stderr === false) return;
    this.#options.beforeConsole?.();
    (this.#options.output ?? writeConsole)(line);
  }

  #append(sink: number, line: string): void {
    const { fd, path } = this.#sinks[sink];
    try {
      writeFully(fd, Buffer.from(line));
    } catch (error) {
      throw ioError(error, path, 'write log');
    }
  }
}

/** What a logger is called in RELIC's lines. */
export function loggerName(of: Pick<StageLogOptions, 'model' | 'stage' | 'runId' | 'rank'>): string {
  return `relic.${of.model}.${of.stage}.${of.runId}.rank${of.rank}`;
}

/** A record in RELIC's format, line feed included. */
export function textLine(at: Date, level: Level, logger: string, body: string): string {
  return `${localTime(at)} ${LEVEL_NAMES[level]} ${logger} - ${oneLine(body)}\n`;
}

function openSink(path: string): Sink {
  try {
    cutTornLine(path);
    return { path, fd: openSync(path, 'a') };
  } catch (error) {
    throw ioError(error, path, 'open log');
  }
}

/** Takes away the half of a record that a killed process left at the end: nothing could read it with the next one. */
function cutTornLine(path: string): void {
  if (!existsSync(path) || !statSync(path).isFile()) return;
  const fd = openSync(path, 'r+');
  try {
    const { size } = fstatSync(fd);
    let end = size;
    const chunk = Buffer.alloc(CHUNK);
    while (end > 0) {
      const start = Math.max(0, end - CHUNK);
      const newline = chunk.subarray(0, readSync(fd, chunk, 0, end - start, start)).lastIndexOf('\n');
      end = newline < 0 ? start : start + newline + 1;
      if (newline >= 0) break;
    }
    if (end < size) ftruncateSync(fd, end);
  } finally {
    closeSync(fd);
  }
}

/** Numbers in full precision. JSON has no NaN, infinity or bigint: these become text. */
function jsonFields(fields: Fields): Record<string, string | number | boolean | null> {
  const json: Record<string, string | number | boolean | null> = {};
  for (const [key, field] of Object.entries(fields)) if (field !== undefined) json[key] = jsonValue(field);
  return json;
}

function jsonValue(field: Exclude<FieldValue, undefined>): string | number | boolean | null {
  const value = field instanceof Float ? field.value : field;
  if (typeof value === 'bigint') return value.toString();
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

/** `YYYY-mm-dd HH:MM:SS` in the machine's time zone. */
function localTime(at: Date): string {
  const pad = (value: number) => String(value).padStart(2, '0');
  const date = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${date} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** A value cannot break its record in two, or write control codes to a terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => ESCAPES[character] ?? hex(character));
}

const ESCAPES: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function hex(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
