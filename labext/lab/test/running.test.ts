import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';

import { errorWords, RestError } from '../src/rest/error';
import type { IAppFailure } from '../src/rest/types';
import { durationWords, exitWords, phaseWords, stateWords } from '../src/running/wording';
import { app } from './app';

const trans = nullTranslator.load('jupyter_samepage');

const failure = (changes: Partial<IAppFailure>): IAppFailure => ({
  code: 'exited_early',
  message: 'It ended.',
  fix: null,
  exit_code: null,
  signal: null,
  retry_seconds: 0,
  log_tail: [],
  ...changes
});

describe('durationWords', () => {
  it.each([
    [-1, '0 s'],
    [59.9, '59 s'],
    [60, '1 min'],
    [3_599, '59 min'],
    [3_600, '1 h'],
    [7_500, '2 h 5 min'],
    [86_400, '1 d'],
    [266_400, '3 d 2 h']
  ])('%s s are %s', (seconds, words) => {
    expect(durationWords(seconds, trans)).toBe(words);
  });
});

describe('stateWords', () => {
  it('tells of a running one its uptime, memory and rest', () => {
    const running = app({ state: 'ready', uptime_seconds: 720, memory_bytes: 310 << 20 });
    expect(stateWords(running, trans)).toBe('Running 12 min · 310 MiB');
    expect(stateWords({ ...running, state: 'idle', idle_seconds: 180 }, trans)).toBe(
      'Running 12 min · 310 MiB · idle 3 min'
    );
  });

  it('does not make up what is not known', () => {
    expect(stateWords(app({ state: 'ready', idle_seconds: 5 }), trans)).toBe('Running');
  });

  it('tells of a start how long it takes and usually takes', () => {
    const starting = app({ state: 'starting', phase: 'launching', starting_seconds: 3.2 });
    expect(stateWords(starting, trans)).toBe('Starting 3 s: launching');
    expect(stateWords({ ...starting, usual_ready_seconds: 8.4 }, trans)).toBe(
      'Starting 3 s (usually 8 s): launching'
    );
  });

  it('tells why one failed', () => {
    const failed = app({ state: 'failed', failure: failure({ message: 'No Java.' }) });
    expect(stateWords(failed, trans)).toBe('Failed: No Java.');
  });

  it('keeps a phase it does not know', () => {
    expect(phaseWords('warming up', trans)).toBe('warming up');
  });
});

describe('exitWords', () => {
  it.each([
    [{ exit_code: 3 }, 'Exit code 3'],
    [{ exit_code: 3, message: 'It ended with exit code 3.' }, null],
    [{ exit_code: 3, message: 'Port 30 is taken.' }, 'Exit code 3'],
    [{ signal: 'SIGKILL' }, 'Ended by signal SIGKILL'],
    [{ signal: 'SIGKILL', message: 'It was ended by SIGKILL.' }, null],
    [{}, null]
  ])('of %j are %s', (changes, words) => {
    expect(exitWords(failure(changes), trans)).toBe(words);
  });
});

describe('errorWords', () => {
  it('say what was tried, what the server answered and what to do', () => {
    const error = new RestError({ code: 'x', message: 'It is full.', fix: 'Empty it.' });
    expect(errorWords('a.csv could not be opened', error)).toBe(
      'a.csv could not be opened: It is full. Empty it.'
    );
  });

  it('also of an error that is not the server’s', () => {
    expect(errorWords('It failed', new TypeError('odd'))).toBe('It failed: TypeError: odd');
  });
});
