import type { IGpuFlag, IGpuProcess, IMyGpu, IMyGpus, IReading } from '../src/rest/types';

export const GIB = 2 ** 30;

export function ok<T>(value: T): IReading<T> {
  return { value, status: 'ok', age_seconds: 1, why: null };
}

export function unknown<T>(why: string | null = null): IReading<T> {
  return { value: null, status: 'unknown', age_seconds: null, why };
}

export function stale<T>(value: T, age: number | null): IReading<T> {
  return { value, status: 'stale', age_seconds: age, why: null };
}

/** A card of 16 GiB, 4 of them free, that the user shares with another. */
export function gpu(changes: Partial<IMyGpu> = {}): IMyGpu {
  return {
    uuid: 'GPU-0',
    index: 0,
    kind: 'gpu',
    name: ok('T4'),
    memory_total_bytes: ok(16 * GIB),
    memory_used_bytes: ok(12 * GIB),
    memory_free_bytes: ok(4 * GIB),
    unified_memory: ok(false),
    busy_1m: ok(0.5),
    sharers: 2,
    mine: true,
    ...changes
  };
}

/** The kernel `k1` with 2 GiB, at work. */
export function process(changes: Partial<IGpuProcess> = {}): IGpuProcess {
  return {
    gpu: 'GPU-0',
    pid: 4001,
    inner_pid: 41,
    kernel_id: 'k1',
    name: 'python3',
    memory_bytes: ok(2 * GIB),
    duty_1m: ok(0.5),
    duty_5m: ok(0.25),
    duty_15m: ok(0),
    last_busy: ok(1000),
    ...changes
  };
}

export function flag(changes: Partial<IGpuFlag> = {}): IGpuFlag {
  return {
    gpu: 'GPU-0',
    stage: 'notice',
    command: null,
    evidence: [],
    quiet_because: null,
    held_bytes: 2 * GIB,
    idle_seconds: 7259,
    kernel_ids: ['k1'],
    snoozed_until: null,
    ...changes
  };
}

/** One card, one kernel of `week 1/train.ipynb` on it. */
export function use(changes: Partial<IMyGpus> = {}): IMyGpus {
  return {
    state: 'ok',
    message: '1 GPU.',
    fix: null,
    age_seconds: 1,
    time: 1000,
    why: null,
    gpus: [gpu()],
    processes: [process()],
    flags: [],
    kernels: [
      { id: 'k1', path: 'week 1/train.ipynb', kind: 'notebook', execution_state: 'idle' },
      { id: 'k2', path: 'plot.ipynb', kind: 'notebook', execution_state: 'idle' }
    ],
    ...changes
  };
}
