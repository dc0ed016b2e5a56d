// Loaded before the program: ends its process at one moment of its life. END_AT is `MOMENT:WAY:SAVES`: SAVES checkpoints are
// written before, the last of which is copied to `saved.pth`. A program in a worker tells its parent and waits to be
// terminated instead.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread, parentPort } from 'node:worker_threads';

const [moment, way, saves] = process.env.END_AT.split(':');
/** The calls of a kind that pass before the one at which the process ends. */
const PASSING = { trainStep: 2, evaluate: 0, readState: 3, writeSync: 2, renameSync: 0 };
const WAYS = {
  exit: () => process.exit(7),
  kill: () => process.kill(process.pid, 'SIGKILL'),
  throw: () => {
    throw new Error('on purpose');
  },
};
let passing = PASSING[moment];
let unsaved = Number(saves);

function end() {
  if (isMainThread) return WAYS[way]();
  parentPort.postMessage(moment);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** `object.name` ends the process; `later`: in the next turn of the event loop, while the engine works. */
function endIn(object, name, later, concerns = () => true) {
  if (name !== moment) return;
  const real = object[name];
  const value = (...args) => {
    if (unsaved > 0 || !concerns(...args) || passing-- !== 0) return real.apply(object, args);
    if (!later) return end();
    setImmediate(end);
    return real.apply(object, args);
  };
  Object.defineProperty(object, name, { value });
}

const isCheckpoint = (path) => String(path).includes('best_model.pth');
const checkpoints = new Set();
const { openSync } = fs;
fs.openSync = (path, ...rest) => {
  const fd = openSync(path, ...rest);
  if (isCheckpoint(path)) checkpoints.add(fd);
  return fd;
};
endIn(fs, 'writeSync', false, (fd) => checkpoints.has(fd));
endIn(fs, 'renameSync', false, (_, to) => isCheckpoint(to));
const { renameSync } = fs;
fs.renameSync = (from, to) => {
  renameSync(from, to);
  if (!isCheckpoint(to) || unsaved-- !== 1) return;
  fs.copyFileSync(to, 'saved.pth');
};
syncBuiltinESMExports();

const { dlopen } = process;
process.dlopen = (addon, ...rest) => {
  dlopen.call(process, addon, ...rest);
  const { createModel } = addon.exports;
  const exports = { ...addon.exports };
  exports.createModel = (options) => {
    const model = createModel(options);
    endIn(model, 'trainStep', true);
    endIn(model, 'evaluate', true);
    endIn(model, 'readState', false);
    return model;
  };
  addon.exports = exports;
};
