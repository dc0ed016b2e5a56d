/** Which engine runs, and why: the engines by name, best first. To add one: one entry below. */
import { RelicError } from '../errors.ts';
import type { Engine, EngineInfo } from './engine.ts';

type EngineName = EngineInfo['name'];

/** `device_config`, as far as it decides the engine. */
export interface EngineRequest {
  readonly device: 'cpu' | 'cuda';
  readonly engine: EngineName | 'auto';
  readonly threads: number | null;
}

interface EngineEntry {
  readonly name: EngineName;
  readonly device: EngineRequest['device'];
  /** Why it cannot run here; undefined when it can. */
  unavailable(): Promise<string | undefined>;
  /** @param reason what `info.reason` says. */
  create(reason: string): Promise<Engine>;
}

const notBuilt = (what: string) => async () => `this version has no ${what} engine yet`;
const noEngine = () => Promise.reject(new Error('an unavailable engine was created'));

/** Best first: `auto` takes the first that is available and runs on the requested device. */
const ENGINES: readonly EngineEntry[] = [
  { name: 'cuda', device: 'cuda', unavailable: notBuilt('CUDA'), create: noEngine },
  { name: 'native', device: 'cpu', unavailable: notBuilt('C++'), create: noEngine },
  {
    name: 'typescript',
    device: 'cpu',
    unavailable: async () => undefined,
    create: async (reason) => (await import('./typescript/engine.ts')).createTypescriptEngine(reason),
  },
];

export interface EngineListing {
  readonly name: EngineName;
  readonly available: boolean;
  /** Why it is not available, or what it needs. */
  readonly reason: string;
}

/** Every engine, best first, for `doctor`. */
export async function listEngines(): Promise<EngineListing[]> {
  return Promise.all(
    ENGINES.map(async ({ name, unavailable }) => {
      const reason = await unavailable();
      return { name, available: reason === undefined, reason: reason ?? 'needs nothing but Node.js' };
    }),
  );
}

/**
 * The engine for a request. `info.reason` says why it was taken, and begins with WARNING when the device that was asked
 * for is not the one that runs.
 *
 * @throws RELIC_ENGINE_UNAVAILABLE when an engine was asked for by name and cannot run here.
 */
export async function selectEngine(request: EngineRequest): Promise<Engine> {
  if (request.engine !== 'auto') return requested(request, request.engine);
  const passed: string[] = [];
  for (const entry of ENGINES) {
    if (entry.device === 'cuda' && request.device === 'cpu') continue;
    const reason = await entry.unavailable();
    if (reason === undefined) {
      const tried = passed.length === 0 ? '' : ` (${passed.join('; ')})`;
      return entry.create(wording(request, entry, `the best engine present${tried}`));
    }
    passed.push(`${entry.name}: ${reason}`);
  }
  throw new RelicError('RELIC_ENGINE_UNAVAILABLE', 'no engine can run here', { received: passed.join('; ') });
}

/** Whether the engine runs on another device than was asked for: a fallback, which is told as a warning. */
export function isFallback(request: EngineRequest, info: EngineInfo): boolean {
  return request.device === 'cuda' && info.name !== 'cuda';
}

async function requested(request: EngineRequest, name: EngineName): Promise<Engine> {
  const entry = ENGINES.find((each) => each.name === name);
  const reason = entry === undefined ? 'unknown engine' : await entry.unavailable();
  if (entry === undefined || reason !== undefined) {
    const available = (await listEngines()).filter((each) => each.available).map((each) => each.name);
    throw new RelicError('RELIC_ENGINE_UNAVAILABLE', `the ${name} engine cannot run here`, {
      where: 'device_config.engine',
      expected: ['auto', ...available].join(' or '),
      received: `${name} (${reason})`,
      fix: 'set device_config.engine to auto, which takes the best engine present; relic-train doctor lists them',
    });
  }
  return entry.create(wording(request, entry, 'asked for by name'));
}

function wording(request: EngineRequest, entry: EngineEntry, why: string): string {
  if (request.device === 'cpu' || entry.device === 'cuda') return why;
  return `WARNING: device cuda was requested and the run is on the CPU: ${why}; set device_config.device to cpu to say so`;
}
