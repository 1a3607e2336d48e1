import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { SnapshotModel } from '../model';
import { RestClient } from '../rest/client';
import type { IMyGpus } from '../rest/types';
import { IGpuUse } from '../tokens';

/** The agent looks every five seconds. */
const BUSY_MS = 10_000;
/** Where something is wrong that may heal. */
const WAITING_MS = 60_000;
/** Where there is no GPU, or nothing to ask. */
const NONE_MS = 300_000;

/** Milliseconds to the next question. */
export function gpuInterval(snapshot: IMyGpus | null): number {
  if (snapshot === null || snapshot.gpus.length > 0) {
    return BUSY_MS;
  }
  return ['error', 'stale', 'starting', 'absent'].includes(snapshot.state) ? WAITING_MS : NONE_MS;
}

/**
 * Provides this user's GPUs.
 */
export const gpuUse: JupyterFrontEndPlugin<IGpuUse> = {
  id: 'jupyter-samepage:gpu-use',
  description: 'Provides this user’s GPUs and the processes on them, polled.',
  autoStart: true,
  provides: IGpuUse,
  activate: (app: JupyterFrontEnd): IGpuUse => {
    const client = new RestClient(app.serviceManager.serverSettings);
    return new SnapshotModel({
      name: 'jupyter-samepage:gpu',
      fetch: () => client.gpu(),
      interval: gpuInterval
    });
  }
};
