import { Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';

import { RestError } from './rest/error';
import type { ISnapshot } from './tokens';

/**
 * Polls one value: backs off while requests fail, rests while the page is hidden.
 */
export class SnapshotModel<T> implements ISnapshot<T> {
  constructor(options: SnapshotModel.IOptions<T>) {
    this._fetch = options.fetch;
    this._interval = options.interval;
    this._poll = new Poll({
      name: options.name,
      factory: () => this._update(),
      frequency: { interval: options.interval(null), backoff: true, max: LONGEST_MS },
      standby: options.standby ?? 'when-hidden'
    });
    this._ready = new Promise(resolve => {
      this._settle = resolve;
    });
  }

  get snapshot(): T | null {
    return this._snapshot;
  }

  get error(): RestError | null {
    return this._error;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get disposed(): ISignal<this, void> {
    return this._disposed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Resolves after the first answer or the first failure, or on disposal. */
  get ready(): Promise<void> {
    return this._ready;
  }

  async refresh(): Promise<void> {
    if (this._isDisposed) {
      return;
    }
    await this._poll.refresh();
    await this._poll.tick.catch(() => undefined);
  }

  /**
   * Take a value that came another way than by the poll.
   */
  protected set(snapshot: T): void {
    this._snapshot = snapshot;
    this._error = null;
    this.pace();
    this._changed.emit();
  }

  /**
   * Ask again for the pace; it changes by itself only with the value.
   *
   * @returns whether it is a faster one; it holds from the next answer on.
   */
  protected pace(): boolean {
    const interval = this._interval(this._snapshot);
    const before = this._poll.frequency.interval;
    if (interval !== before) {
      this._poll.frequency = { interval, backoff: true, max: LONGEST_MS };
    }
    return interval < before;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._poll.dispose();
    this._settle();
    this._disposed.emit();
    Signal.clearData(this);
  }

  private async _update(): Promise<void> {
    try {
      const snapshot = await this._fetch();
      if (this._isDisposed) {
        return;
      }
      this.set(snapshot);
    } catch (reason) {
      if (this._isDisposed) {
        return;
      }
      this._snapshot = null;
      this._error =
        reason instanceof RestError
          ? reason
          : new RestError({
              code: 'unexpected',
              message: String(reason),
              fix: null,
              cause: reason
            });
      this._changed.emit();
      throw reason; // so that the poll backs off
    } finally {
      this._settle();
    }
  }

  private readonly _fetch: () => Promise<T>;
  private readonly _interval: (snapshot: T | null) => number;
  private readonly _poll: Poll<void>;
  private readonly _ready: Promise<void>;
  private _settle: () => void = () => undefined;
  private _snapshot: T | null = null;
  private _error: RestError | null = null;
  private _isDisposed = false;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _disposed = new Signal<this, void>(this);
}

export namespace SnapshotModel {
  export interface IOptions<T> {
    /** For the developer tools, such as `jupyter-samepage:status`. */
    name: string;

    fetch: () => Promise<T>;

    /** Milliseconds to the next request, by the newest value. */
    interval: (snapshot: T | null) => number;

    standby?: Poll.Standby | (() => boolean | Poll.Standby);
  }
}

/** The longest pause while requests fail. */
const LONGEST_MS = 120_000;
