import { JSONExt, type ReadonlyJSONValue } from '@lumino/coreutils';

import type { RestClient } from '../rest/client';
import type { IApp, IApps } from '../rest/types';
import { SnapshotModel } from '../model';

/**
 * The applications of this server. Asked for rarely: an application is installed now and then.
 */
export class ApplicationsModel extends SnapshotModel<IApps> {
  constructor(client: Pick<RestClient, 'apps'>) {
    super({
      name: 'jupyter-samepage:applications',
      fetch: () => client.apps(),
      interval: () => INTERVAL_MS
    });
  }

  /** The application of this name; null when unknown. */
  find(name: string): IApp | null {
    return this.snapshot?.apps.find(app => app.name === name) ?? null;
  }

  /** Ask again, unless that was just done. */
  async refreshIfOlderThan(milliseconds: number, now: number): Promise<void> {
    if (now - this._asked >= milliseconds) {
      this._asked = now;
      await this.refresh();
    }
  }

  private _asked = 0;
}

/** True when two values show the same. */
export function sameApp(a: IApp, b: IApp): boolean {
  return JSONExt.deepEqual(a as unknown as ReadonlyJSONValue, b as unknown as ReadonlyJSONValue);
}

const INTERVAL_MS = 60_000;
