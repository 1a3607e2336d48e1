import type { IGpus } from '../rest/types';

/** Memory of all GPUs of the node together, in bytes. */
export interface IGpuShare {
  readonly used: number;
  readonly total: number;
  readonly count: number;
}

/**
 * The sum over the GPUs that report both use and size; null when none does.
 */
export function gpuShare(gpus: IGpus | null): IGpuShare | null {
  let used = 0;
  let total = 0;
  let count = 0;
  for (const gpu of gpus?.devices ?? []) {
    if (gpu.memory_used_bytes !== null && gpu.memory_total_bytes !== null) {
      used += gpu.memory_used_bytes;
      total += gpu.memory_total_bytes;
      count += 1;
    }
  }
  return count > 0 ? { used, total, count } : null;
}
