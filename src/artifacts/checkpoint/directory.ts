/**
 * A checkpoint of several files in a folder: it appears whole or not at all, and the one before it stays beside it as
 * `NAME.backup` until the next. `manifest.json`, written last, has the size and SHA-256 of every file.
 */
import * as nodeFs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { RelicError } from '../../errors.ts';
import { describeFile, type FileFacts } from '../file-facts.ts';
import { type FileSystem, ioError, isSystemError, syncDirectory, temporaryPath, writeFileAtomic } from '../files.ts';

const MANIFEST = 'manifest.json';
const FORMAT = 'relic-train checkpoint';
const VERSION = 1;
const DAMAGED_FIX = 'move it away: the run then goes on from the checkpoint before it, if there is one';

/** Where the checkpoint before the one at `path` is kept. */
export function backupPath(path: string): string {
  return `${path}.backup`;
}

/**
 * Makes the folder `path` of what `write` puts into the folder it is given. On any failure the checkpoints that were
 * there are still there.
 * @throws RelicError RELIC_NO_SPACE, RELIC_NOT_WRITABLE, RELIC_IO; whatever `write` throws.
 */
export function writeCheckpointDirectory(
  path: string,
  write: (directory: string) => void,
  fs: FileSystem = nodeFs,
): void {
  const temporary = temporaryPath(path);
  try {
    fs.rmSync(temporary, { recursive: true, force: true });
    fs.mkdirSync(temporary);
    write(temporary);
    const names = nodeFs.readdirSync(temporary).sort();
    const files = names.map((name) => ({ ...describeFile(join(temporary, name)), path: name }));
    const manifest = { format: FORMAT, schema_version: VERSION, files };
    writeFileAtomic(join(temporary, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    // From here on a complete checkpoint has one of the two names, whenever the process ends.
    const backup = backupPath(path);
    if (nodeFs.existsSync(path)) {
      fs.rmSync(backup, { recursive: true, force: true });
      fs.renameSync(path, backup);
    }
    fs.renameSync(temporary, path);
  } catch (error) {
    removeQuietly(temporary, fs);
    throw isSystemError(error) ? ioError(error, path, 'write checkpoint') : error;
  }
  syncDirectory(dirname(path), fs);
}

function removeQuietly(path: string, fs: FileSystem): void {
  try {
    fs.rmSync(path, { recursive: true, force: true });
  } catch {
    // The failure that led here is the one to report; the next start removes what is left.
  }
}

/** Removes the checkpoint before the one at `path`, once nothing will need it. Throws as ioError says. */
export function dropBackup(path: string): void {
  try {
    nodeFs.rmSync(backupPath(path), { recursive: true, force: true });
  } catch (error) {
    throw ioError(error, backupPath(path), 'remove');
  }
}

/**
 * Puts the checkpoint before the one at `path` in its place: the next one would otherwise push it out for one that cannot
 * be used. Throws as ioError says.
 */
export function promoteBackup(path: string): void {
  try {
    nodeFs.rmSync(path, { recursive: true, force: true });
    nodeFs.renameSync(backupPath(path), path);
  } catch (error) {
    throw ioError(error, path, 'replace');
  }
  syncDirectory(dirname(path));
}

/** A complete checkpoint whose every byte was checked. */
export interface CheckpointDirectory {
  readonly path: string;
  /** Why the newest one could not be used, when this is the one before it. */
  readonly fallback?: string;
}

/**
 * The newest complete checkpoint at `path`: that folder, or its backup where it is missing or was cut short. Undefined
 * when there is none of either name.
 * @throws RelicError RELIC_CHECKPOINT_INVALID when a file has other content than was written, or when no checkpoint is
 *   complete; RELIC_CHECKPOINT_UNSUPPORTED for a newer format; RELIC_IO.
 */
export function openCheckpointDirectory(path: string): CheckpointDirectory | undefined {
  const backup = backupPath(path);
  if (!nodeFs.existsSync(path) && !nodeFs.existsSync(backup)) return undefined;
  const fault = whyIncomplete(path);
  if (fault === undefined) return { path };
  if (nodeFs.existsSync(backup) && whyIncomplete(backup) === undefined) return { path: backup, fallback: fault };
  throw new RelicError('RELIC_CHECKPOINT_INVALID', `the checkpoint is not complete: ${fault}`, {
    where: path,
    fix: 'move it away: the stage then starts over',
  });
}

/** What a killed writer or a broken copy left out; undefined when all is there. Throws for content that is wrong. */
function whyIncomplete(directory: string): string | undefined {
  if (!nodeFs.existsSync(directory)) return 'it is missing';
  const manifestPath = join(directory, MANIFEST);
  if (!nodeFs.existsSync(manifestPath)) return `${MANIFEST} is missing`;
  const files = readFileList(manifestPath);
  if (files === undefined) return `${MANIFEST} is cut short`;
  for (const expected of files) {
    const path = join(directory, expected.path);
    if (!nodeFs.existsSync(path)) return `${expected.path} is missing`;
    const found = describeFile(path);
    if (found.bytes < expected.bytes) return `${expected.path} has ${found.bytes} of ${expected.bytes} bytes`;
    if (found.sha256 !== expected.sha256)
      throw new RelicError('RELIC_CHECKPOINT_INVALID', 'the file is not the one that was written', {
        where: path,
        expected: `${expected.bytes} bytes with SHA-256 ${expected.sha256}`,
        received: `${found.bytes} bytes with SHA-256 ${found.sha256}`,
        fix: DAMAGED_FIX,
      });
  }
  return undefined;
}

/** Undefined when the text ends too early. */
function readFileList(path: string): FileFacts[] | undefined {
  let manifest: { format?: unknown; schema_version?: unknown; files?: unknown } | null;
  try {
    const text = nodeFs.readFileSync(path, 'utf8');
    if (!text.endsWith('}\n')) return undefined;
    manifest = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw ioError(error, path, 'read file');
    manifest = null;
  }
  const { format, schema_version: version, files } = manifest ?? {};
  if (format !== FORMAT)
    throw new RelicError('RELIC_CHECKPOINT_INVALID', 'this is not the manifest of a checkpoint', {
      where: path,
      expected: `format ${JSON.stringify(FORMAT)}`,
      received: JSON.stringify(format) ?? 'none',
      fix: DAMAGED_FIX,
    });
  if (version !== VERSION)
    throw new RelicError('RELIC_CHECKPOINT_UNSUPPORTED', 'the checkpoint has another version', {
      where: path,
      expected: `schema_version ${VERSION}`,
      received: String(version),
      fix: 'continue the run with the version of this package that wrote it',
    });
  if (Array.isArray(files) && files.every(isFileFacts)) return files;
  throw new RelicError('RELIC_CHECKPOINT_INVALID', 'the list of files cannot be read', {
    where: path,
    fix: DAMAGED_FIX,
  });
}

function isFileFacts(value: unknown): value is FileFacts {
  const { path, bytes, sha256 } = (value ?? {}) as Partial<Record<keyof FileFacts, unknown>>;
  // A name with a slash would lead out of the folder.
  return (
    typeof path === 'string' && path === basename(path) && Number.isSafeInteger(bytes) && typeof sha256 === 'string'
  );
}
