/** Which GPU is that of a process. */
import { RelicError } from '../../errors.ts';
import type { NativeCudaDevice } from '../native/binding.ts';

/**
 * The index in `devices`, of which one or more are usable: of several that this process sees, each rank of a node has its
 * own; launchers that show every rank one GPU alone have chosen already.
 *
 * @throws RelicError RELIC_ENGINE_UNAVAILABLE when there are more ranks on the node than GPUs
 */
export function ownDevice(devices: readonly NativeCudaDevice[], localRank = 0): number {
  const usable = Array.from(devices.keys()).filter((index) => devices[index].usable);
  if (devices.length === 1) return usable[0];
  const own = usable.at(localRank);
  if (own !== undefined) return own;
  throw new RelicError('RELIC_ENGINE_UNAVAILABLE', 'there is no GPU for this rank', {
    expected: `${usable.length} ranks on this node at most, one for each GPU`,
    received: `rank ${localRank} of this node, counted from 0`,
    fix: 'start as many processes a node as it has GPUs, such as srun --ntasks-per-node, or set CUDA_VISIBLE_DEVICES',
  });
}
