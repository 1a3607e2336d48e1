import { describe, expect, it } from 'vitest';

import type { IGpu } from '../src/rest/types';
import { gpuShare } from '../src/status/gpu';
import { memoryLevel } from '../src/status/level';
import { sparkline } from '../src/status/sparkline';

describe('memoryLevel', () => {
  it.each([
    [null, 100, 'unknown'],
    [10, null, 'unknown'],
    [10, 0, 'unknown'],
    [79, 100, 'normal'],
    [80, 100, 'high'],
    [94, 100, 'high'],
    [95, 100, 'critical'],
    [120, 100, 'critical']
  ])('%s of %s is %s', (used, limit, level) => {
    expect(memoryLevel(used, limit)).toBe(level);
  });
});

describe('gpuShare', () => {
  const gpu = (used: number | null, total: number | null): IGpu => ({
    uuid: 'GPU-0',
    index: 0,
    name: 'H200',
    memory_used_bytes: used,
    memory_total_bytes: total,
    memory_free_bytes: null,
    busy_percent: null,
    processes: null
  });
  const gpus = (...devices: IGpu[]) => ({
    state: 'ok' as const,
    message: '',
    age_seconds: 1,
    devices
  });

  it('adds up what is reported', () => {
    expect(gpuShare(gpus(gpu(3, 16), gpu(5, 16)))).toEqual({ used: 8, total: 32, count: 2 });
    expect(gpuShare(gpus(gpu(3, 16), gpu(null, 16)))).toEqual({ used: 3, total: 16, count: 1 });
  });

  it('is null, not zero, where nothing is', () => {
    expect(gpuShare(gpus(gpu(null, null)))).toBeNull();
    expect(gpuShare(gpus())).toBeNull();
    expect(gpuShare(null)).toBeNull();
  });
});

describe('sparkline', () => {
  it('scales to the box, zero at the bottom', () => {
    const line = sparkline(
      [
        { x: 100, y: 0 },
        { x: 110, y: 50 },
        { x: 120, y: 100 }
      ],
      200,
      40
    );
    expect(line).toEqual({
      path: 'M0.0 40.0L100.0 20.0L200.0 0.0',
      low: 0,
      high: 100,
      seconds: 20
    });
  });

  it('leaves a gap where nothing was measured', () => {
    const points = [
      { x: 0, y: 1 },
      { x: 1, y: null },
      { x: 2, y: 1 },
      { x: 4, y: 1 }
    ];
    expect(sparkline(points, 4, 1)?.path).toBe('M0.0 0.0M2.0 0.0L4.0 0.0');
  });

  it('draws a loss below zero and a flat nothing', () => {
    const loss = sparkline(
      [
        { x: 0, y: -10 },
        { x: 1, y: 10 }
      ],
      1,
      20
    );
    expect(loss?.path).toBe('M0.0 20.0L1.0 0.0');
    const nothing = sparkline(
      [
        { x: 0, y: 0 },
        { x: 1, y: 0 }
      ],
      1,
      20
    );
    expect(nothing?.path).toBe('M0.0 20.0L1.0 20.0');
  });

  it('draws nothing from less than two points', () => {
    expect(sparkline([], 1, 1)).toBeNull();
    expect(sparkline([{ x: 0, y: 1 }], 1, 1)).toBeNull();
    expect(
      sparkline(
        [
          { x: 0, y: 1 },
          { x: 1, y: null }
        ],
        1,
        1
      )
    ).toBeNull();
  });
});
