import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { RestClient } from '../rest/client';
import { IApplications } from '../tokens';
import { ApplicationsModel } from './model';

/** On coming back to the page, ask again when the last answer is older. */
const STALE_MS = 5_000;

/**
 * Provides the list of applications to the launcher, the running section and the status panel.
 */
export const applicationList: JupyterFrontEndPlugin<IApplications> = {
  id: 'jupyter-samepage:application-list',
  description: 'Provides the web applications of this server and what they are doing, polled.',
  autoStart: true,
  provides: IApplications,
  activate: (app: JupyterFrontEnd): IApplications => {
    const model = new ApplicationsModel(new RestClient(app.serviceManager.serverSettings));
    // A program may have been installed or stopped in a terminal or another window meanwhile.
    const look = (): void => {
      if (document.visibilityState === 'visible') {
        void model.refreshIfOlderThan(STALE_MS);
      }
    };
    window.addEventListener('focus', look);
    document.addEventListener('visibilitychange', look);
    return model;
  }
};
