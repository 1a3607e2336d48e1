import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { SnapshotModel } from '../model';
import { RestClient } from '../rest/client';
import { INodeStatus } from '../tokens';

const INTERVAL_MS = 5_000;

/**
 * Provides the state of this server and its node.
 */
export const nodeStatus: JupyterFrontEndPlugin<INodeStatus> = {
  id: 'jupyter-samepage:node-status',
  description: 'Provides memory of this server and the state of its node, polled.',
  autoStart: true,
  provides: INodeStatus,
  activate: (app: JupyterFrontEnd): INodeStatus => {
    const client = new RestClient(app.serviceManager.serverSettings);
    return new SnapshotModel({
      name: 'jupyter-samepage:status',
      fetch: () => client.status(),
      interval: () => INTERVAL_MS
    });
  }
};
