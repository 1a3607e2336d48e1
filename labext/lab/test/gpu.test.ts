import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';

import type { IGpus } from '../src/rest/types';
import { gpuInterval } from '../src/status/gpuuse';
import {
  dutyWords,
  flagWords,
  freeWords,
  itemWords,
  lastWorkWords,
  processWords,
  readingWords,
  reasons,
  sharersWords,
  sumWords
} from '../src/status/gpuwording';
import { dueFlags, heldBy, largestKernel, processesOn, shownGpus } from '../src/status/mygpu';
import { flag, GIB, gpu, ok, process, stale, unknown, use } from './gpu';

const trans = nullTranslator.load('');

describe('sums', () => {
  it('are at least what is known, and nothing where nothing is', () => {
    const some = [process(), process({ memory_bytes: unknown() })];
    expect(sumWords(heldBy(some), trans)).toBe('at least 2.0 GiB');
    expect(heldBy([process({ memory_bytes: unknown() })])).toBeNull();
    expect(heldBy([])).toBeNull();
    expect(sumWords(null, trans)).toBe('not known');
    expect(sumWords(heldBy([process({ memory_bytes: ok(0) })]), trans)).toBe('0 B');
  });

  it('are as old as their oldest part', () => {
    const parts = [
      process({ memory_bytes: stale(GIB, 30) }),
      process({ memory_bytes: stale(GIB, 200) })
    ];
    expect(sumWords(heldBy(parts), trans)).toBe('2.0 GiB, 3 min ago');
  });
});

describe('readings', () => {
  it.each([
    [ok(3), '3'],
    [stale(3, 65), '3, 1 min ago'],
    [stale(3, null), '3, out of date'],
    [unknown<number>(), 'not known'],
    [{ value: null, status: 'unsupported' as const }, 'not told']
  ])('%o is %s', (reading, words) => {
    expect(readingWords(reading, value => `${value}`, trans)).toBe(words);
  });

  it('of three times are one word where none is known', () => {
    expect(dutyWords(process(), trans)).toBe('50 % · 25 % · 0 %');
    const none = { duty_1m: unknown<number>(), duty_5m: unknown<number>() };
    expect(dutyWords(process(none), trans)).toBe('not known · not known · 0 %');
    expect(dutyWords(process({ ...none, duty_15m: unknown() }), trans)).toBe('not known');
    const equal = { duty_1m: ok(0), duty_5m: ok(0), duty_15m: ok(0) };
    expect(dutyWords(process(equal), trans)).toBe('0 % · 0 % · 0 %');
  });

  it('give their reasons once', () => {
    const silent = process({ memory_bytes: unknown('no rights'), duty_1m: unknown('no rights') });
    const told = reasons(gpu({ memory_free_bytes: unknown('lost') }), [silent, process()]);
    expect(told).toEqual(['lost', 'no rights']);
  });
});

describe('words', () => {
  it('name the notebook, else the program', () => {
    const none = process({ kernel_id: null });
    expect(processWords(process(), use(), trans)).toBe('train.ipynb');
    expect(processWords(none, use(), trans)).toBe('python3 (process 41)');
    expect(processWords({ ...none, name: null, inner_pid: null }, use(), trans)).toBe(
      'Process 4001'
    );
    const bare = use({
      kernels: [{ id: 'k1', path: null, kind: null, execution_state: null }]
    });
    expect(processWords(process(), bare, trans)).toBe('A kernel without a notebook');
  });

  it.each([
    [gpu({ sharers: null }), 'not known'],
    [gpu({ sharers: 1 }), 'nobody else'],
    [gpu({ sharers: 2 }), 'you and 1 other'],
    [gpu({ sharers: 4 }), 'you and 3 others'],
    [gpu({ mine: false, sharers: 0 }), 'nobody'],
    [gpu({ mine: false, sharers: 1 }), '1 user']
  ])('say who shares', (card, words) => {
    expect(sharersWords(card, trans)).toBe(words);
  });

  it('say what is free, of what', () => {
    expect(freeWords(gpu(), trans)).toBe('4.0 GiB of 16.0 GiB');
    expect(freeWords(gpu({ memory_total_bytes: unknown() }), trans)).toBe('4.0 GiB');
    expect(freeWords(gpu({ memory_free_bytes: unknown() }), trans)).toBe('not known');
  });

  it('say when it last worked, if that is long ago', () => {
    expect(lastWorkWords(process({ last_busy: ok(950) }), 1000, trans)).toBeNull();
    expect(lastWorkWords(process({ last_busy: unknown() }), 1000, trans)).toBeNull();
    expect(lastWorkWords(process({ last_busy: ok(1000) }), 8200, trans)).toBe('last work 2 h ago');
  });

  it('tell what is held idle', () => {
    expect(flagWords(flag(), use(), trans)).toBe(
      'The kernel of train.ipynb has held 2.0 GiB of the GPU idle for 2 h.'
    );
    expect(flagWords(flag({ kernel_ids: ['k1', 'k2'] }), use(), trans)).toBe(
      'The kernels of train.ipynb, plot.ipynb have held 2.0 GiB of the GPU idle for 2 h.'
    );
    expect(flagWords(flag({ kernel_ids: [], held_bytes: null }), use(), trans)).toBe(
      'Your programs have held memory of the GPU idle for 2 h.'
    );
  });
});

describe('the status bar', () => {
  const node: IGpus = {
    state: 'ok',
    message: '',
    age_seconds: 1,
    devices: [
      {
        uuid: 'GPU-0',
        index: 0,
        name: 'T4',
        memory_used_bytes: 3 * GIB,
        memory_total_bytes: 16 * GIB,
        memory_free_bytes: 13 * GIB,
        busy_percent: null,
        processes: null
      }
    ]
  };

  it('shows the own memory and what is free', () => {
    expect(itemWords(use(), node, trans)?.text).toBe('GPU 2.0 GiB · 4.0 GiB free');
    expect(itemWords(use({ processes: [] }), node, trans)?.text).toBe('GPU 4.0 GiB free');
    const many = use({ gpus: [gpu(), gpu({ uuid: 'GPU-1' })] });
    expect(itemWords(many, node, trans)?.text).toBe('GPU 2.0 GiB');
  });

  it('shows an age, or that nothing is known', () => {
    const old = use({
      state: 'stale',
      age_seconds: 130,
      processes: [],
      gpus: [gpu({ memory_free_bytes: stale(GIB, 130) })]
    });
    expect(itemWords(old, node, trans)?.text).toBe('GPU 1.0 GiB free, 2 min ago');
    const dark = use({ processes: [], gpus: [gpu({ memory_free_bytes: unknown() })] });
    expect(itemWords(dark, node, trans)?.text).toBe('GPU not known');
  });

  it('warns until that is put off', () => {
    expect(itemWords(use({ flags: [flag()] }), node, trans)?.warning).toContain('train.ipynb');
    const later = use({ flags: [flag({ snoozed_until: 2000 })] });
    expect(itemWords(later, node, trans)?.warning).toBeNull();
    expect(dueFlags(use({ flags: [flag({ stage: 'none' })] }))).toEqual([]);
    expect(dueFlags(null)).toEqual([]);
  });

  it('falls back to the totals of the node', () => {
    expect(itemWords(null, node, trans)?.text).toBe('GPU 3.0 GiB / 16.0 GiB');
    expect(itemWords(use({ state: 'not_told', gpus: [] }), node, trans)?.text).toBe(
      'GPU 3.0 GiB / 16.0 GiB'
    );
    expect(itemWords(null, null, trans)).toBeNull();
  });
});

describe('the choice', () => {
  it('is of the own GPUs, else of all', () => {
    const other = gpu({ uuid: 'GPU-1', mine: false });
    expect(shownGpus(use({ gpus: [other, gpu()] })).map(each => each.uuid)).toEqual(['GPU-0']);
    expect(shownGpus(use({ gpus: [other] }))).toEqual([other]);
  });

  it('has the largest first, unknown sizes last', () => {
    const small = process({ pid: 1, memory_bytes: ok(1) });
    const hidden = process({ pid: 2, memory_bytes: unknown() });
    const large = process({ pid: 3, memory_bytes: ok(9) });
    const away = process({ pid: 4, gpu: 'GPU-1' });
    const found = processesOn(use({ processes: [small, hidden, large, away] }), 'GPU-0');
    expect(found.map(each => each.pid)).toEqual([3, 1, 2]);
  });

  it('frees the kernel that holds most, all its processes together', () => {
    const processes = [
      process({ kernel_id: 'k1', memory_bytes: ok(5) }),
      process({ kernel_id: 'k2', memory_bytes: ok(3) }),
      process({ kernel_id: 'k2', memory_bytes: ok(3) }),
      process({ kernel_id: null, memory_bytes: ok(99) })
    ];
    expect(largestKernel(use({ processes }))?.id).toBe('k2');
    expect(largestKernel(use({ processes: [] }))).toBeNull();
  });
});

describe('gpuInterval', () => {
  it('is short only where there is something to see', () => {
    expect(gpuInterval(use())).toBe(10_000);
    expect(gpuInterval(null)).toBe(10_000);
    expect(gpuInterval(use({ state: 'absent', gpus: [] }))).toBe(60_000);
    expect(gpuInterval(use({ state: 'no_driver', gpus: [] }))).toBe(300_000);
  });
});
