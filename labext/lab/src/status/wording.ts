import type { TranslationBundle } from '@jupyterlab/translation';

import { formatBytes } from '../format';
import type { IApp, IFeature, IKsm, IServerMemory, MemorySource } from '../rest/types';
import type { Level } from './level';

/** `812 MiB / 2.0 GiB`, or the use alone when there is no limit; null when it is not known. */
export function memoryWords(memory: IServerMemory): string | null {
  if (memory.used_bytes === null) {
    return null;
  }
  const used = formatBytes(memory.used_bytes);
  return memory.limit_bytes === null ? used : `${used} / ${formatBytes(memory.limit_bytes)}`;
}

/** The memory of an application; what it does instead while it has none to show. */
export function appMemoryWords(app: IApp, trans: TranslationBundle): string {
  switch (app.state) {
    case 'starting':
      return trans.__('starting');
    case 'stopping':
      return trans.__('stopping');
    default:
      return app.memory_bytes === null ? trans.__('not known') : formatBytes(app.memory_bytes);
  }
}

/** Where the number comes from. */
export function sourceWords(source: MemorySource, trans: TranslationBundle): string {
  switch (source) {
    case 'cgroup-v2':
      return trans.__(
        'All that runs in this server’s container, as the kernel counts it (cgroup v2)'
      );
    case 'cgroup-v1':
      return trans.__(
        'All that runs in this server’s container, as the kernel counts it (cgroup v1)'
      );
    case 'processes':
      return trans.__('The Jupyter server and the processes it started, added up');
    case 'unavailable':
      return trans.__('The memory of this server cannot be read here');
  }
}

/** Whose the limit is, where that is not plain. */
export function limitWords(memory: IServerMemory, trans: TranslationBundle): string {
  if (memory.limit_bytes === null) {
    return trans.__('No limit is set.');
  }
  return memory.source === 'processes'
    ? trans.__('The limit is the hub’s; the system itself enforces none.')
    : '';
}

/** What a level means, in words; null when there is nothing to warn of. */
export function levelWords(level: Level, trans: TranslationBundle): string | null {
  switch (level) {
    case 'critical':
      return trans.__(
        'Memory is almost used up: a kernel may be stopped. Shut down what you do not need.'
      );
    case 'high':
      return trans.__('Memory is getting short. Shut down kernels you do not need.');
    default:
      return null;
  }
}

/** What merging brings, in one line. */
export function savedWords(ksm: IKsm, trans: TranslationBundle): string {
  if (!ksm.supported) {
    return trans.__('This node’s kernel cannot merge equal memory.');
  }
  if (ksm.saved_bytes === null) {
    return trans.__('How much memory KSM saves on this node is not known.');
  }
  return trans.__('Sharing equal memory saves %1', formatBytes(ksm.saved_bytes));
}

/** What merging does now; null when the kernel has no merging. */
export function ksmWhy(ksm: IKsm, trans: TranslationBundle): string | null {
  if (!ksm.supported || ksm.running === null) {
    return null;
  }
  switch (ksm.phase) {
    case 'burst':
    case 'settle':
    case 'verify':
      return trans.__(
        'Memory that is equal in several kernels is kept only once (KSM). More is being looked for.'
      );
    case 'rest':
      return trans.__(
        'Memory that is equal in several kernels is kept only once (KSM). No more was found.'
      );
    case 'hold':
      return trans.__('Looking for equal memory (KSM) is paused: %1.', ksm.why);
    default:
      return ksm.running
        ? trans.__('Memory that is equal in several kernels is kept only once (KSM).')
        : trans.__('Looking for equal memory (KSM) is off.');
  }
}

/** The name of a part of Samepage. */
export function featureWords(name: IFeature['name'], trans: TranslationBundle): string {
  switch (name) {
    case 'courses':
      return trans.__('Courses');
    case 'applications':
      return trans.__('Applications');
    case 'kernels':
      return trans.__('Memory merging of kernels');
    case 'node':
      return trans.__('Node status');
  }
}

/** How long a history reaches back. */
export function spanWords(seconds: number, trans: TranslationBundle): string {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) {
    return trans.__('the last %1 s', Math.round(seconds));
  }
  if (minutes < 120) {
    return trans._n('the last minute', 'the last %1 minutes', minutes);
  }
  return trans.__('the last %1 hours', Math.round(minutes / 60));
}
