/**
 * What a rank other than 0 does, in a text file of its own: to see where a run hangs. Nothing reads it, and no run has it
 * unless it is asked for.
 */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { type EventLog, eventBody, type Fields } from '../log.ts';
import { ensureDirectory, ioError, writeFully } from './files.ts';
import { type Level, loggerName, type StageLogOptions, textLine } from './stage-log.ts';

export type RankLogOptions = Pick<StageLogOptions, 'directory' | 'model' | 'stage' | 'runId' | 'rank' | 'now'>;

/**
 * Appends to `rank.R.log` in the directory, which is made. Each record is with the operating system when the call returns.
 * @throws RelicError RELIC_NO_SPACE, RELIC_NOT_WRITABLE or RELIC_IO from here and from every record.
 */
export function openRankLog(options: RankLogOptions): EventLog {
  const path = join(options.directory, `rank.${options.rank}.log`);
  const logger = loggerName(options);
  ensureDirectory(options.directory);
  let fd: number | undefined;
  try {
    fd = openSync(path, 'a');
  } catch (error) {
    throw ioError(error, path, 'open log');
  }
  const record = (level: Level, body: string) => {
    if (fd === undefined) return;
    try {
      writeFully(fd, Buffer.from(textLine(options.now?.() ?? new Date(), level, logger, body)));
    } catch (error) {
      throw ioError(error, path, 'write log');
    }
  };
  const event =
    (level: Level) =>
    (name: string, fields: Fields = {}) =>
      record(level, eventBody(name, fields));
  return {
    event: event('info'),
    heartbeat: (text) => record('info', text),
    warning: event('warn'),
    error: event('error'),
    note: (level, name, fields) => event(level === 'info' ? 'info' : 'warn')(name, fields),
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}
