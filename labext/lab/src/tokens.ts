import { Token } from '@lumino/coreutils';
import type { IObservableDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type { RestError } from './rest/error';
import type { IServerStatus } from './rest/types';

/**
 * Something the server knows, polled: one read-only value, replaced as a whole.
 */
export interface ISnapshot<T> extends IObservableDisposable {
  /** The newest value; null before the first answer and after a failed request. */
  readonly snapshot: T | null;

  /** Why `snapshot` is null; null when it is not, or before the first answer. */
  readonly error: RestError | null;

  /** Emitted after each answer and each failure. */
  readonly changed: ISignal<ISnapshot<T>, void>;

  /** Ask now. Resolves after the answer or the failure; never rejects. */
  refresh(): Promise<void>;
}

/**
 * Memory of this server and state of its node.
 */
export type INodeStatus = ISnapshot<IServerStatus>;

/**
 * The token other extensions require to show something of the node's state.
 */
export const INodeStatus = new Token<INodeStatus>(
  'jupyter-samepage:INodeStatus',
  "Memory of this Jupyter server and the state of the node it runs on, polled from the server's samepage/api/status."
);
