import type { IGpuFlag, IGpuKernel, IGpuProcess, IMyGpu, IMyGpus, IReading } from '../rest/types';

/** A sum of what is known; `whole` is false when some of it is not. */
export interface ISum {
  readonly bytes: number;
  readonly whole: boolean;
  /** Of the oldest value that is out of date; null when none is. */
  readonly age: number | null;
}

/** The value of a reading that has one. */
export function known<T>(reading: IReading<T>): T | null {
  return reading.status === 'ok' || reading.status === 'stale' ? reading.value : null;
}

/** The GPUs that concern this user: those given to them or used by them, else all of the node. */
export function shownGpus(use: IMyGpus): readonly IMyGpu[] {
  const mine = use.gpus.filter(gpu => gpu.mine);
  return mine.length > 0 ? mine : use.gpus;
}

/** This user's processes on a GPU, those with the most memory first; unknown sizes last. */
export function processesOn(use: IMyGpus, gpu: string): readonly IGpuProcess[] {
  const size = (process: IGpuProcess): number => known(process.memory_bytes) ?? -1;
  return use.processes.filter(process => process.gpu === gpu).sort((a, b) => size(b) - size(a));
}

/** Memory of these processes; null when there are none of which it is known. */
export function heldBy(processes: readonly IGpuProcess[]): ISum | null {
  let bytes = 0;
  let count = 0;
  let age: number | null = null;
  for (const { memory_bytes: memory } of processes) {
    const value = known(memory);
    if (value !== null) {
      bytes += value;
      count += 1;
      if (memory.status === 'stale') {
        age = Math.max(age ?? 0, memory.age_seconds ?? 0);
      }
    }
  }
  return count > 0 ? { bytes, whole: count === processes.length, age } : null;
}

/** What the user is to be reminded of now. */
export function dueFlags(use: IMyGpus | null): readonly IGpuFlag[] {
  return use?.flags.filter(flag => flag.stage !== 'none' && flag.snoozed_until === null) ?? [];
}

export function kernelOf(use: IMyGpus, id: string | null): IGpuKernel | null {
  return use.kernels.find(kernel => kernel.id === id) ?? null;
}

/** The name of a kernel's notebook without its folders; null when it has none. */
export function notebookName(kernel: IGpuKernel | null): string | null {
  return kernel?.path?.split('/').at(-1) ?? null;
}

/** The kernel that holds most GPU memory; null when none is known to hold any. */
export function largestKernel(use: IMyGpus): IGpuKernel | null {
  let most = 0;
  let found: IGpuKernel | null = null;
  for (const kernel of use.kernels) {
    const held = heldBy(use.processes.filter(process => process.kernel_id === kernel.id));
    if (held !== null && held.bytes > most) {
      most = held.bytes;
      found = kernel;
    }
  }
  return found;
}
