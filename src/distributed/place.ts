/** Where a process stands among the ranks of its run, and how the ranks find each other. */

/** How the ranks learn where rank 0 listens. A `port` is the one it must take; null lets it choose. */
export type Meeting =
  /** There is one rank. */
  | { readonly kind: 'alone' }
  /** Everybody was told. Without a port it follows from the run id. */
  | { readonly kind: 'address'; readonly host: string; readonly port: number | null }
  /** Rank 0 writes its address into a file of a folder that all ranks share. */
  | { readonly kind: 'file'; readonly directory: string }
  /** All ranks are on this machine: a file in its folder for temporary files. */
  | { readonly kind: 'local'; readonly port: number | null }
  /** The launcher carries the address, over a file it left open. */
  | { readonly kind: 'pmi'; readonly fd: number; readonly port: number | null }
  /** Rank 0 is on the first of these nodes, a hostlist. */
  | { readonly kind: 'slurm'; readonly nodes: string; readonly port: number | null }
  /** Only a broadcast of MPI can carry the address. */
  | { readonly kind: 'mpi'; readonly port: number | null };

export interface RankPlace {
  readonly rank: number;
  readonly size: number;
  /** Among the ranks of this node. */
  readonly localRank: number;
  readonly localSize: number;
  /** Who said so: `mpirun (Open MPI)`. */
  readonly source: string;
  /** Whether the parent process is a launcher, without which no rank should go on. */
  readonly launched: boolean;
  /** The same on all ranks and no other run's; null where rank 0 has to choose it, or the launcher to be asked. */
  readonly runId: string | null;
  readonly meeting: Meeting;
  /** What other launchers left in the environment, in words, for the log. */
  readonly others: readonly string[];
}

/** The rank as its command line gives it. */
export interface RankFlags {
  readonly rank: number;
  readonly size: number;
  /** Null unless given. */
  readonly localRank: number | null;
  /** Null for one rank alone. */
  readonly rendezvous: Rendezvous | null;
  readonly runId: string | null;
}

export type Rendezvous = Extract<Meeting, { readonly kind: 'address' | 'file' }>;
