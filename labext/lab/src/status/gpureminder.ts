import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IGpuFlag } from '../rest/types';
import type { IGpuUse } from '../tokens';
import type { IGpuActs } from './gpupanel';
import { flagWords } from './gpuwording';
import { dueFlags } from './mygpu';

const HOUR_S = 3600;

/**
 * Tells once of memory that is held idle for so long that it is worth a warning; takes the words back
 * when it is over.
 */
export class GpuReminder {
  constructor(options: { use: IGpuUse; acts: IGpuActs; trans: TranslationBundle }) {
    this._options = options;
    options.use.changed.connect(this._look, this);
    this._look(); // the first answer may be there already
  }

  private _look(): void {
    const { snapshot } = this._options.use;
    if (snapshot === null) {
      return; // a request that failed says nothing about the GPU
    }
    const due = dueFlags(snapshot).filter(flag => flag.stage !== 'notice');
    for (const [gpu, note] of this._told) {
      if (!due.some(flag => flag.gpu === gpu)) {
        Notification.dismiss(note);
        this._told.delete(gpu);
      }
    }
    for (const flag of due) {
      if (!this._told.has(flag.gpu)) {
        this._told.set(flag.gpu, this._tell(flag));
      }
    }
  }

  private _tell(flag: IGpuFlag): string {
    const { use, acts, trans } = this._options;
    const words = use.snapshot ? flagWords(flag, use.snapshot, trans) : '';
    const [kernel] = flag.kernel_ids;
    return Notification.warning(words, {
      autoClose: false,
      actions: [
        ...(kernel !== undefined && flag.kernel_ids.length === 1
          ? [
              {
                label: trans.__('Free…'),
                callback: () => {
                  acts.free(kernel);
                }
              }
            ]
          : []),
        {
          label: trans.__('In an hour'),
          caption: trans.__('Remind me in an hour'),
          callback: () => {
            acts.snooze(flag.gpu, HOUR_S);
          }
        }
      ]
    });
  }

  private readonly _options: { use: IGpuUse; acts: IGpuActs; trans: TranslationBundle };
  /** Id of the notification by GPU. */
  private readonly _told = new Map<string, string>();
}
