import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { SnapshotModel } from '../src/model';
import { RestError } from '../src/rest/error';

describe('SnapshotModel', () => {
  let answer: () => Promise<number>;
  let asked: number;
  let model: SnapshotModel<number>;

  beforeEach(() => {
    vi.useFakeTimers();
    asked = 0;
    answer = () => Promise.resolve(asked);
    model = new SnapshotModel({
      name: 'test',
      fetch: () => {
        asked += 1;
        return answer();
      },
      interval: snapshot => (snapshot === 1 ? 1_000 : 10_000),
      standby: 'never'
    });
  });

  afterEach(() => {
    model.dispose();
    vi.useRealTimers();
  });

  it('asks at once, then at the pace of the newest value', async () => {
    await vi.advanceTimersByTimeAsync(100);
    await model.ready;
    expect(model.snapshot).toBe(1);
    await vi.advanceTimersByTimeAsync(1_100);
    expect(model.snapshot).toBe(2);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked).toBe(2);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(asked).toBe(3);
  });

  it('is null after a failure, says why, and backs off', async () => {
    await vi.advanceTimersByTimeAsync(100);
    const error = new RestError({ code: 'no_answer', message: 'gone', fix: null });
    answer = () => Promise.reject(error);
    let told = 0;
    model.changed.connect(() => {
      told += 1;
    });
    await vi.advanceTimersByTimeAsync(1_100);
    expect(model.snapshot).toBeNull();
    expect(model.error).toBe(error);
    expect(told).toBe(1);
    await vi.advanceTimersByTimeAsync(600_000);
    // The pauses grow by chance; without backing off it would be 600.
    expect(asked).toBeLessThan(150);

    answer = () => Promise.resolve(7);
    await vi.advanceTimersByTimeAsync(130_000);
    expect(model.snapshot).toBe(7);
    expect(model.error).toBeNull();
  });

  it('turns what is not ours into one error', async () => {
    answer = () => Promise.reject(new TypeError('odd'));
    await vi.advanceTimersByTimeAsync(100);
    expect(model.error?.code).toBe('unexpected');
    expect(model.error?.message).toContain('odd');
  });

  it('can be disposed twice, also while a request is under way', async () => {
    let finish: (value: number) => void = () => undefined;
    answer = () =>
      new Promise(resolve => {
        finish = resolve;
      });
    await vi.advanceTimersByTimeAsync(100);
    let disposals = 0;
    model.disposed.connect(() => {
      disposals += 1;
    });
    model.dispose();
    model.dispose();
    finish(5);
    await vi.advanceTimersByTimeAsync(100);
    await model.ready;
    await model.refresh();
    expect(disposals).toBe(1);
    expect(model.snapshot).toBeNull();
    expect(asked).toBe(1);
  });
});
