import { JSONExt, type ReadonlyJSONValue } from '@lumino/coreutils';

import type { IApp } from '../rest/types';

/** What of an application a look at its state needs. */
export type StateOf = Pick<IApp, 'state'>;

/** True while an application answers requests. */
export function isRunning(app: StateOf): boolean {
  return app.state === 'ready' || app.state === 'idle';
}

/** True while an application is about to be in another state. */
export function isUnderWay(app: StateOf): boolean {
  return app.state === 'starting' || app.state === 'stopping';
}

/** True when there is something to tell or to stop; false for a stopped or unmanaged one. */
export function isListed(app: StateOf): boolean {
  return isRunning(app) || isUnderWay(app) || app.state === 'failed';
}

/** What a launcher card says of the state beside its name. */
export type CardMark = 'none' | 'starting' | 'running' | 'failed';

/** The mark of an application; `null` is one the server no longer lists. */
export function cardMark(app: StateOf | null): CardMark {
  switch (app?.state) {
    case 'ready':
    case 'idle':
      return 'running';
    case 'starting':
      return 'starting';
    case 'failed':
      return 'failed';
    default:
      return 'none';
  }
}

/** True when the cards of two values are the same but for the mark, which renews itself. */
export function sameCard(a: IApp, b: IApp): boolean {
  return JSONExt.deepEqual(cardOf(a), cardOf(b));
}

function cardOf(app: IApp): ReadonlyJSONValue {
  return [
    app.name,
    app.title,
    app.description,
    app.icon_svg,
    app.icon_url ?? null,
    app.available,
    app.reason,
    app.rank,
    app.managed,
    app.launcher
  ];
}
