import { Token } from '@lumino/coreutils';
import type { IDisposable, IObservableDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type { RestError } from './rest/error';
import type { IApp, IApps, IMyGpus, IServerStatus } from './rest/types';

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

/**
 * This user's GPUs and what is held on them.
 */
export type IGpuUse = ISnapshot<IMyGpus>;

/**
 * The token other extensions require to show something of the user's GPUs.
 */
export const IGpuUse = new Token<IGpuUse>(
  'jupyter-samepage:IGpuUse',
  "The GPUs of this user and the user's processes on them, polled from the server's samepage/api/gpu."
);

/**
 * The web applications of this server, polled: often while one starts or stops, rarely while none
 * runs.
 */
export interface IApplications extends ISnapshot<IApps> {
  /** Resolves after the first answer or the first failure. */
  readonly ready: Promise<void>;

  /** The application of this name; null when unknown. */
  find(name: string): IApp | null;

  /** Ask again, unless the last answer is younger than `milliseconds`. */
  refreshIfOlderThan(milliseconds: number): Promise<void>;

  /** Somebody looks at the list, until the returned object is disposed. */
  watch(): IDisposable;
}

/**
 * The token other extensions require to show which applications run.
 */
export const IApplications = new Token<IApplications>(
  'jupyter-samepage:IApplications',
  "The web applications of this Jupyter server and what they are doing, polled from the server's samepage/api/apps."
);
