/** Which engine runs, and why: the engines by name, best first. To add one: one entry below. */
import { existsSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { readEnv } from '../env.ts';
import { RelicError } from '../errors.ts';
import { ownDevice } from './cuda/device.ts';
import { cublasCandidates, cudaLibraryBeside, ncclCandidates } from './cuda/library.ts';
import { encoderCacheBytes } from './encoder-cache.ts';
import type { Engine, EngineInfo } from './engine.ts';
import type { NativeCudaDevice } from './native/binding.ts';
import { findBinary, kernelsOf, type LoadedBinary, type Search } from './native/loader.ts';
import { probeCuda } from './native/probe.ts';
import { chooseThreads, type ThreadChoice } from './threads.ts';

type EngineName = EngineInfo['name'];

/** `device_config`, as far as it decides the engine. */
export interface EngineRequest {
  readonly device: 'cpu' | 'cuda';
  readonly engine: EngineName | 'auto';
  readonly threads: number | null;
  /** Of the engines on the CPU. */
  readonly cpu_precision: 'fp32' | 'bf16';
  /** Encoder outputs that an evaluation on the CPU keeps; a part of the memory when absent or null. */
  readonly encoder_cache_mb?: number | null;
  /** 16-bit training on a GPU; false when absent. */
  readonly use_mixed_precision?: boolean;
  readonly amp_dtype?: 'bf16' | 'fp16';
  /** This process among the ranks of its node, from 0: which GPU is its own. */
  readonly localRank?: number;
  /** Ranks of this node, which share its CPUs; what launchers say unless given. */
  readonly localRanks?: number;
  /** Of 16-bit training: whether evaluation is, too. */
  readonly amp_evaluation?: boolean;
}

export interface Availability {
  readonly available: boolean;
  /** What it needs or has, or why it is not available. */
  readonly reason: string;
  /** Something is there and does not work, which a user will want to know. */
  readonly defect?: boolean;
}

interface EngineEntry {
  readonly name: EngineName;
  readonly device: EngineRequest['device'];
  availability(): Promise<Availability>;
  /** @param reason what `info.reason` says. Called only when available. */
  create(reason: string, request: EngineRequest): Promise<Engine>;
}

/** Best first: `auto` takes the first that is available and runs on the requested device. */
const ENGINES: readonly EngineEntry[] = [
  {
    name: 'cuda',
    device: 'cuda',
    availability: async () => cudaAvailability(await findCuda()),
    create: async (
      reason,
      { use_mixed_precision: mixed, amp_dtype: dtype = 'bf16', amp_evaluation: ampEvaluation = false, localRank },
    ) => {
      const { createCudaEngine } = await import('./cuda/engine.ts');
      const { binary, library, devices } = (await findCuda()) as FoundCuda;
      return createCudaEngine({
        binding: binary.binding,
        library,
        devices,
        device: ownDevice(devices, localRank),
        precision: mixed ? dtype : 'fp32',
        ampEvaluation,
        cublasPaths: cublasCandidates(readEnv()),
        ncclPaths: ncclCandidates(readEnv()),
        reason,
      });
    },
  },
  {
    name: 'native',
    device: 'cpu',
    availability: async () => nativeAvailability(await findBinary()),
    create: async (reason, request) => {
      const { createNativeEngine } = await import('./native/engine.ts');
      const { threads, reason: why } = threadsHere(request.threads, request.localRanks);
      return createNativeEngine((await findBinary()).loaded as LoadedBinary, {
        threads,
        isa: readEnv().isa,
        precision: request.cpu_precision,
        encoderCacheBytes: encoderCacheHere(request.encoder_cache_mb),
        reason: `${reason}; threads: ${why}`,
      });
    },
  },
  {
    name: 'typescript',
    device: 'cpu',
    availability: async () => ({ available: true, reason: 'needs nothing but Node.js' }),
    create: async (reason, request) => {
      const { createTypescriptEngine } = await import('./typescript/engine.ts');
      return createTypescriptEngine(reason, 'float32', encoderCacheHere(request.encoder_cache_mb));
    },
  },
];

interface FoundCuda {
  readonly binary: LoadedBinary;
  readonly library: string;
  readonly devices: readonly NativeCudaDevice[];
}

/** Why the GPU is not used. */
interface NoCuda {
  readonly reason: string;
}

let cuda: Promise<FoundCuda | NoCuda> | undefined;

/** The search of this process, done once: asking a driver for its devices takes a while. */
function findCuda(): Promise<FoundCuda | NoCuda> {
  cuda ??= findBinary().then(({ loaded }) => searchCuda(loaded));
  return cuda;
}

/** Asks the GPU library beside a binary of the native engine for its devices. */
export async function searchCuda(binary: LoadedBinary | undefined): Promise<FoundCuda | NoCuda> {
  if (binary === undefined) return { reason: 'it needs a binary of the native engine, and none works here' };
  const library = cudaLibraryBeside(binary.path);
  if (!existsSync(library)) {
    return { reason: `there is no ${library}: npm run build makes it where nvcc 12.4 or later is installed` };
  }
  try {
    return { binary, library, devices: await probeCuda(binary.path, library) };
  } catch (error) {
    return { reason: (error as Error).message };
  }
}

/** What a search for GPUs says about the engine that runs on them. */
export function cudaAvailability(found: FoundCuda | NoCuda): Availability {
  if (!('devices' in found)) return { available: false, reason: found.reason };
  const { devices, library } = found;
  const words = devices.map(({ name, capability }) => `${name} (capability ${capability})`).join(', ');
  if (!devices.some(({ usable }) => usable)) {
    return { available: false, reason: `${library} holds no code for ${words}`, defect: true };
  }
  return { available: true, reason: `${words} by ${library}` };
}

/**
 * The threads of this process on this machine.
 * @param requested `device_config.threads`
 * @param ranks of this node, where more is known than launchers say.
 */
export function threadsHere(requested: number | null, ranks?: number): ThreadChoice {
  const { localRanks: launched, allottedCpus } = readEnv();
  const localRanks = ranks ?? launched;
  // Some sandboxes hide the list of CPUs.
  const allowed = availableParallelism();
  const node = Math.max(cpus().length, allowed);
  return chooseThreads({ requested, allowed, node, localRanks, allotted: allottedCpus });
}

/** Bytes of encoder outputs that an evaluation in this process keeps. @param requestedMb `device_config.encoder_cache_mb` */
export function encoderCacheHere(requestedMb: number | null = null): number {
  const { localRanks } = readEnv();
  const constrainedBytes = process.constrainedMemory();
  return encoderCacheBytes({ requestedMb, totalBytes: totalmem(), constrainedBytes, localRanks });
}

/** What a search for its binary says about the native engine. */
export function nativeAvailability({ loaded, failures, absent }: Search): Availability {
  const failed = failures.map(({ path, origin, reason }) => `${path} (${origin}) cannot be used: ${reason}`);
  const defect = failures.length > 0;
  if (loaded !== undefined) {
    const found = `${kernelsOf(loaded)} in ${loaded.path} (${loaded.origin})`;
    return { available: true, reason: [found, ...failed].join('; '), defect };
  }
  if (defect)
    return {
      available: false,
      reason: `${failed.join('; ')}. Run npm run build in a clone, or see relic-train doctor`,
      defect,
    };
  const places = absent.map(({ path }) => path).join(' nor ');
  const reason = `no binary for ${process.platform}-${process.arch}: neither ${places}; npm run build in a clone makes one`;
  return { available: false, reason };
}

export interface EngineListing extends Availability {
  readonly name: EngineName;
}

/** Every engine, best first, for `doctor`. */
export function listEngines(): Promise<EngineListing[]> {
  return Promise.all(ENGINES.map(async ({ name, availability }) => ({ name, ...(await availability()) })));
}

/**
 * The engine for a request. `info.reason` says why it was taken. It begins with WARNING when the device that was asked
 * for is not the one that runs, when a binary of a better engine is there and does not work, or when `auto` is left with
 * the TypeScript engine.
 *
 * @throws RELIC_ENGINE_UNAVAILABLE when an engine was asked for by name and cannot run here.
 */
export async function selectEngine(request: EngineRequest): Promise<Engine> {
  if (request.engine !== 'auto') return requested(request, request.engine);
  const passed: EngineListing[] = [];
  for (const entry of ENGINES) {
    if (entry.device === 'cuda' && request.device === 'cpu') continue;
    const found = await entry.availability();
    if (!found.available || found.defect) passed.push({ name: entry.name, ...found });
    if (found.available) return inPrecision(request, await entry.create(wording(request, entry, passed), request));
  }
  throw new RelicError('RELIC_ENGINE_UNAVAILABLE', 'no engine can run here', { received: told(passed) });
}

/** Whether what runs is a fallback, which is told as a warning. */
export function isFallback({ reason }: EngineInfo): boolean {
  return reason.startsWith('WARNING');
}

async function requested(request: EngineRequest, name: EngineName): Promise<Engine> {
  const entry = ENGINES.find((each) => each.name === name);
  const found = await entry?.availability();
  if (entry === undefined || !found?.available) {
    const available = (await listEngines()).filter((each) => each.available).map((each) => each.name);
    throw new RelicError('RELIC_ENGINE_UNAVAILABLE', `the ${name} engine cannot run here`, {
      where: 'device_config.engine',
      expected: ['auto', ...available].join(' or '),
      received: `${name} (${found?.reason ?? 'unknown engine'})`,
      fix: 'set device_config.engine to auto, which takes the best engine present; relic-train doctor lists them',
    });
  }
  return inPrecision(request, await entry.create(wording(request, entry), request));
}

/** Says so when the precision asked for is not what runs: a warning, or an error when the engine was asked for by name. */
function inPrecision({ cpu_precision: wanted, engine: name }: EngineRequest, engine: Engine): Engine {
  const { info } = engine;
  if (info.device !== 'cpu' || info.precision === wanted) return engine;
  const runs = [`the ${info.name} engine`, ...(info.isa === undefined ? [] : [`with ${info.isa} kernels`])].join(' ');
  const expected = 'the native engine on a CPU with AVX512_BF16 or AMX';
  if (name !== 'auto') {
    throw new RelicError('RELIC_ENGINE_UNAVAILABLE', `${wanted} is not available here`, {
      where: 'device_config.cpu_precision',
      expected,
      received: runs,
      fix: 'set device_config.cpu_precision to fp32',
    });
  }
  const reason = `WARNING: cpu_precision ${wanted} needs ${expected}, and ${runs} computes in ${info.precision}: ${info.reason}`;
  return { ...engine, info: { ...info, reason } };
}

/** @param passed what `auto` passed over or found fault with; nothing when the engine was asked for by name. */
function wording(request: EngineRequest, { name, device }: EngineEntry, passed?: readonly EngineListing[]): string {
  const tried = passed?.length ? ` (${told(passed)})` : '';
  const why = passed === undefined ? 'asked for by name' : `the best engine present${tried}`;
  if (request.device === 'cuda' && device !== 'cuda') {
    return `WARNING: device cuda was requested and the run is on the CPU: ${why}; set device_config.device to cpu to say so`;
  }
  if (passed?.some(({ defect }) => defect)) return `WARNING: a binary of a faster engine does not work: ${why}`;
  if (name !== 'typescript' || passed === undefined) return why;
  return `WARNING: many times slower than the native engine, which is not here: ${why}; set device_config.engine to typescript to say so`;
}

function told(listings: readonly EngineListing[]): string {
  return listings.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
}
