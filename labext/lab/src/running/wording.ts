import type { TranslationBundle } from '@jupyterlab/translation';

import { formatBytes } from '../format';
import type { IApp, IAppFailure } from '../rest/types';

/** Used a moment ago: not worth a word. */
const IDLE_S = 60;

/** `12 s`, `5 min`, `2 h 5 min`, `3 d 2 h`. */
export function durationWords(seconds: number, trans: TranslationBundle): string {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) {
    return trans.__('%1 s', whole);
  }
  if (hours < 1) {
    return trans.__('%1 min', minutes);
  }
  if (hours < 24) {
    return minutes % 60 === 0
      ? trans.__('%1 h', hours)
      : trans.__('%1 h %2 min', hours, minutes % 60);
  }
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? trans.__('%1 d', days) : trans.__('%1 d %2 h', days, hours % 24);
}

/** What an application is doing, in one line without its name. */
export function stateWords(app: IApp, trans: TranslationBundle): string {
  switch (app.state) {
    case 'ready':
    case 'idle':
      return runningWords(app, trans);
    case 'starting':
      return startingWords(app, trans);
    case 'stopping':
      return trans.__('Stopping: %1', phaseWords(app.phase ?? '', trans));
    case 'failed':
      return trans.__('Failed: %1', app.failure?.message ?? '');
    case 'stopped':
    case null:
      return trans.__('Not running');
  }
}

function runningWords(app: IApp, trans: TranslationBundle): string {
  const parts: string[] = [];
  parts.push(
    app.uptime_seconds === null
      ? trans.__('Running')
      : trans.__('Running %1', durationWords(app.uptime_seconds, trans))
  );
  if (app.memory_bytes !== null) {
    parts.push(formatBytes(app.memory_bytes));
  }
  if (app.idle_seconds !== null && app.idle_seconds >= IDLE_S) {
    parts.push(trans.__('idle %1', durationWords(app.idle_seconds, trans)));
  }
  return parts.join(' · ');
}

function startingWords(app: IApp, trans: TranslationBundle): string {
  const phase = phaseWords(app.phase ?? '', trans);
  if (app.starting_seconds === null) {
    return trans.__('Starting: %1', phase);
  }
  const elapsed = durationWords(app.starting_seconds, trans);
  return app.usual_ready_seconds === null
    ? trans.__('Starting %1: %2', elapsed, phase)
    : trans.__(
        'Starting %1 (usually %2): %3',
        elapsed,
        durationWords(app.usual_ready_seconds, trans),
        phase
      );
}

/** A phase in the user's language; one this version does not know stays as the server says it. */
export function phaseWords(phase: string, trans: TranslationBundle): string {
  switch (phase) {
    case '':
      return trans.__('a moment');
    case 'ending what an earlier server left':
      return trans.__('ending what an earlier server left');
    case 'checking':
      return trans.__('checking');
    case 'launching':
      return trans.__('launching');
    case 'waiting for the first answer':
      return trans.__('waiting for the first answer');
    case 'asked to stop, saving':
      return trans.__('asked to stop, saving');
    case 'killing what did not stop':
      return trans.__('killing what did not stop');
    default:
      return phase;
  }
}

/**
 * How the command ended; null when it did not, as with a start that took too long, or when the
 * message says it already.
 */
export function exitWords(failure: IAppFailure, trans: TranslationBundle): string | null {
  const { exit_code: code, message, signal } = failure;
  if (signal) {
    return message.includes(signal) ? null : trans.__('Ended by signal %1', signal);
  }
  if (code === null || new RegExp(`\\b${code}\\b`).test(message)) {
    return null;
  }
  return trans.__('Exit code %1', code);
}
