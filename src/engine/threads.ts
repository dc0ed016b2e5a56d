/** How many threads an engine on the CPU takes, so that the ranks of a node together take no more than it has. */

export interface ThreadFacts {
  /** `device_config.threads`. */
  readonly requested: number | null;
  /** CPUs in the affinity mask of this process. */
  readonly allowed: number;
  /** CPUs of the node. */
  readonly node: number;
  /** Processes that the launcher started on this node, this one among them. */
  readonly localRanks: number;
  /** CPUs that the launcher gave to all of them together; null where it does not say. */
  readonly allotted: number | null;
}

export interface ThreadChoice {
  readonly threads: number;
  readonly reason: string;
}

/**
 * Launchers either bind each rank to CPUs of its own (Open MPI, srun with --cpu-bind) or leave all of them the same mask
 * (MPICH, torchrun, `--bind-to none`). Masks that are as large as this one and disjoint must fit in what the ranks have
 * together; where they do not fit the CPUs are shared, and each rank takes an equal part.
 */
export function chooseThreads({ requested, allowed, node, localRanks, allotted }: ThreadFacts): ThreadChoice {
  if (requested !== null) return { threads: requested, reason: 'device_config.threads' };
  const together = Math.min(node, allotted ?? node);
  if (allowed * localRanks <= together) {
    const bound = localRanks > 1 || allowed < node;
    return { threads: allowed, reason: bound ? `bound to ${allowed} of ${node} CPUs` : `all ${allowed} CPUs` };
  }
  const shared = Math.min(allowed, together);
  const ranks = localRanks === 1 ? 'given to this job' : `shared by the ${localRanks} ranks of this node`;
  return { threads: Math.max(1, Math.floor(shared / localRanks)), reason: `${shared} CPUs ${ranks}` };
}
