import { UUID } from '@lumino/coreutils';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import type { RestClient } from '../rest/client';
import type { ICourse } from '../rest/types';
import { unsavedIn, type OpenDocument } from './documents';

/** How often an unchanged list is told again; the server forgets after 150 s. */
const RENEW_MS = 60_000;

type Watched = OpenDocument & {
  readonly model: { readonly stateChanged: ISignal<unknown, unknown> };
};

/**
 * Tells the server which files of a course have unsaved edits in this tab, so that a pull of its
 * own leaves them for the next one.
 */
export class UnsavedReporter implements IDisposable {
  constructor(options: {
    client: Pick<RestClient, 'editing'>;
    courses: () => readonly ICourse[];
    documents: () => Iterable<Watched>;
    repeat?: (callback: () => void, milliseconds: number) => IDisposable;
  }) {
    this._options = options;
    this._timer = (options.repeat ?? every)(() => {
      void this._tell(true);
    }, RENEW_MS);
  }

  get isDisposed(): boolean {
    return this._timer.isDisposed;
  }

  /** Look which documents are open; their edits are followed from now on. */
  follow(): void {
    for (const document of this._options.documents()) {
      document.model.stateChanged.connect(this._onState, this);
    }
    void this._tell(false);
  }

  /** The tab is being closed: nothing of it is unsaved any more. */
  leave(): void {
    for (const [id, text] of this._told) {
      if (text !== '') {
        void this._options.client.editing(id, this._id, [], true).catch(() => undefined);
      }
    }
    this._told.clear();
  }

  /** Tell now. Resolves when the server knows; never rejects. */
  flush(): Promise<void> {
    return this._tell(true);
  }

  dispose(): void {
    if (!this.isDisposed) {
      this._timer.dispose();
      Signal.clearData(this);
    }
  }

  private _onState(): void {
    void this._tell(false);
  }

  private async _tell(again: boolean): Promise<void> {
    const documents = [...this._options.documents()];
    await Promise.all(
      this._options.courses().map(async course => {
        const top = `${course.target?.replace(/\/$/, '') ?? ''}/`;
        const paths = unsavedIn(course, documents).map(document =>
          document.path.startsWith(top) ? document.path.slice(top.length) : document.path
        );
        const text = paths.sort().join('\n');
        const told = this._told.get(course.id) ?? '';
        if (text === told && !(again && text !== '')) {
          return;
        }
        this._told.set(course.id, text);
        try {
          await this._options.client.editing(course.id, this._id, paths);
        } catch {
          this._told.delete(course.id); // told again with the next change
        }
      })
    );
  }

  private readonly _options: {
    client: Pick<RestClient, 'editing'>;
    courses: () => readonly ICourse[];
    documents: () => Iterable<Watched>;
  };
  private readonly _timer: IDisposable;
  private readonly _id = UUID.uuid4();
  private readonly _told = new Map<string, string>();
}

function every(callback: () => void, milliseconds: number): IDisposable {
  const timer = setInterval(callback, milliseconds);
  return new DisposableDelegate(() => {
    clearInterval(timer);
  });
}
