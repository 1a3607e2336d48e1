import type { TranslationBundle } from '@jupyterlab/translation';

import { formatBytes, formatRatio } from '../format';
import type { IGpuFlag, IGpuProcess, IGpus, IMyGpu, IMyGpus, IReading } from '../rest/types';
import { durationWords } from '../running/wording';
import { gpuShare } from './gpu';
import { dueFlags, heldBy, type ISum, kernelOf, known, notebookName, shownGpus } from './mygpu';

/** A reading in words: with its age when it is old, and never a number when there is none. */
export function readingWords<T>(
  reading: IReading<T>,
  format: (value: T) => string,
  trans: TranslationBundle
): string {
  const value = known(reading);
  if (value === null) {
    return reading.status === 'unsupported' ? trans.__('not told') : trans.__('not known');
  }
  return reading.status === 'stale'
    ? aged(format(value), reading.age_seconds ?? null, trans)
    : format(value);
}

/** Bytes that may be a part of all, or old. */
export function sumWords(sum: ISum | null, trans: TranslationBundle): string {
  if (sum === null) {
    return trans.__('not known');
  }
  const size = formatBytes(sum.bytes);
  const words = sum.whole ? size : trans.__('at least %1', size);
  return sum.age === null ? words : aged(words, sum.age, trans);
}

/** `0 % · 12 % · 80 %`: how busy a process kept the GPU for 1, 5 and 15 minutes. */
export function dutyWords(process: IGpuProcess, trans: TranslationBundle): string {
  const readings = [process.duty_1m, process.duty_5m, process.duty_15m];
  const words = readings.map(reading => readingWords(reading, formatRatio, trans));
  return new Set(words).size === 1 && readings.every(reading => known(reading) === null)
    ? (words[0] ?? '')
    : words.join(' · ');
}

/** When it last worked; null when it does now, or that is not known. */
export function lastWorkWords(
  process: IGpuProcess,
  now: number,
  trans: TranslationBundle
): string | null {
  const last = known(process.last_busy);
  const seconds = last === null ? null : now - last;
  return seconds === null || seconds < 60
    ? null
    : trans.__('last work %1 ago', durationWords(seconds, trans));
}

/** The notebook of a process, else its program. */
export function processWords(process: IGpuProcess, use: IMyGpus, trans: TranslationBundle): string {
  const name = notebookName(kernelOf(use, process.kernel_id));
  if (name !== null) {
    return name;
  }
  if (process.kernel_id !== null) {
    return trans.__('A kernel without a notebook');
  }
  const pid = process.inner_pid ?? process.pid;
  return process.name === null
    ? trans.__('Process %1', pid)
    : trans.__('%1 (process %2)', process.name, pid);
}

/** Who shares a GPU. */
export function sharersWords(gpu: IMyGpu, trans: TranslationBundle): string {
  if (gpu.sharers === null) {
    return trans.__('not known');
  }
  if (!gpu.mine) {
    return gpu.sharers === 0 ? trans.__('nobody') : trans._n('%1 user', '%1 users', gpu.sharers);
  }
  return gpu.sharers <= 1
    ? trans.__('nobody else')
    : trans._n('you and %1 other', 'you and %1 others', gpu.sharers - 1);
}

/** `6.0 GiB of 15.0 GiB`. */
export function freeWords(gpu: IMyGpu, trans: TranslationBundle): string {
  const total = known(gpu.memory_total_bytes);
  return readingWords(
    gpu.memory_free_bytes,
    free =>
      total === null
        ? formatBytes(free)
        : trans.__('%1 of %2', formatBytes(free), formatBytes(total)),
    trans
  );
}

/** Why a number of this GPU or of a process on it is missing; each reason once. */
export function reasons(gpu: IMyGpu, processes: readonly IGpuProcess[]): readonly string[] {
  const readings: IReading<unknown>[] = [gpu.memory_total_bytes, gpu.memory_free_bytes];
  for (const each of processes) {
    readings.push(each.memory_bytes, each.duty_1m, each.duty_5m, each.duty_15m);
  }
  const told = readings.filter(reading => known(reading) === null).map(reading => reading.why);
  return [...new Set(told)].flatMap(why => (why ? [why] : []));
}

/** What is held, by what, for how long. */
export function flagWords(flag: IGpuFlag, use: IMyGpus, trans: TranslationBundle): string {
  const size = flag.held_bytes === null ? trans.__('memory') : formatBytes(flag.held_bytes);
  const time =
    flag.idle_seconds === null
      ? trans.__('a while')
      : durationWords(Math.floor(flag.idle_seconds / 60) * 60, trans);
  const names = flag.kernel_ids.flatMap(id => notebookName(kernelOf(use, id)) ?? []);
  if (names.length === 0) {
    return trans.__('Your programs have held %1 of the GPU idle for %2.', size, time);
  }
  return trans._n(
    'The kernel of %2 has held %3 of the GPU idle for %4.',
    'The kernels of %2 have held %3 of the GPU idle for %4.',
    names.length,
    names.join(', '),
    size,
    time
  );
}

/** What stands in the status bar; null where there is no GPU. */
export interface IGpuItem {
  readonly text: string;
  readonly label: string;
  readonly warning: string | null;
}

/** The user's own memory and what is free; the node's totals where the former is not told. */
export function itemWords(
  use: IMyGpus | null,
  node: IGpus | null,
  trans: TranslationBundle
): IGpuItem | null {
  if (use === null || use.gpus.length === 0) {
    const share = gpuShare(node);
    if (share === null) {
      return null;
    }
    const text = trans.__('GPU %1 / %2', formatBytes(share.used), formatBytes(share.total));
    return { text, label: text, warning: null };
  }
  const gpus = shownGpus(use);
  const mine = heldBy(use.processes);
  const free = gpus.length === 1 && gpus[0] ? known(gpus[0].memory_free_bytes) : null;
  const parts = [
    ...(use.processes.length > 0 ? [sumWords(mine, trans)] : []),
    ...(free === null ? [] : [trans.__('%1 free', formatBytes(free))])
  ];
  const old =
    use.state === 'stale' && (mine === null || mine.age === null) ? (use.age_seconds ?? 0) : null;
  const shown = parts.length > 0 ? parts.join(' · ') : trans.__('not known');
  const [flag] = dueFlags(use);
  const said = old === null ? shown : aged(shown, old, trans);
  return {
    text: trans.__('GPU %1', said),
    label:
      use.processes.length > 0
        ? trans.__('GPU memory of mine: %1', said)
        : trans.__('GPU memory: %1', said),
    warning: flag ? flagWords(flag, use, trans) : null
  };
}

function aged(words: string, seconds: number | null, trans: TranslationBundle): string {
  return seconds === null
    ? trans.__('%1, out of date', words)
    : trans.__('%1, %2 ago', words, durationWords(seconds, trans));
}
