import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

import type { RestClient } from '../rest/client';
import type { IApp, IApps } from '../rest/types';
import { SnapshotModel } from '../model';
import type { IApplications } from '../tokens';
import { isRunning, isUnderWay } from './state';

/**
 * The applications of this server.
 */
export class ApplicationsModel extends SnapshotModel<IApps> implements IApplications {
  constructor(client: Pick<RestClient, 'apps'>, now: () => number = Date.now) {
    // The pace is asked for before this class has its fields.
    const watchers = { count: 0 };
    super({
      name: 'jupyter-samepage:applications',
      fetch: () => client.apps(),
      interval: snapshot => applicationsInterval(snapshot, watchers.count > 0)
    });
    this._watchers = watchers;
    this._now = now;
    this.changed.connect(() => {
      this._answered = this._now();
    });
  }

  find(name: string): IApp | null {
    return this.snapshot?.apps.find(app => app.name === name) ?? null;
  }

  async refreshIfOlderThan(milliseconds: number): Promise<void> {
    if (this._now() - this._answered >= milliseconds) {
      this._answered = this._now(); // one request, however many ask at once
      await this.refresh();
    }
  }

  watch(): IDisposable {
    this._watchers.count += 1;
    void this.refresh(); // the pause that is under way may still be a long one
    return new DisposableDelegate(() => {
      this._watchers.count -= 1;
      this.pace();
    });
  }

  private readonly _watchers: { count: number };
  private readonly _now: () => number;
  private _answered = 0;
}

/**
 * Milliseconds to the next look. An application is installed now and then, so without one that
 * runs, and with nobody who looks, once a minute is enough.
 */
export function applicationsInterval(snapshot: IApps | null, watched: boolean): number {
  const apps = snapshot?.apps ?? [];
  if (apps.some(isUnderWay)) {
    return UNDER_WAY_MS;
  }
  return watched || apps.some(isRunning) ? WATCHED_MS : RARELY_MS;
}

const UNDER_WAY_MS = 1_000;
const WATCHED_MS = 5_000;
const RARELY_MS = 60_000;
