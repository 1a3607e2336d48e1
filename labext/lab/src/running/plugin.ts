import {
  ILabShell,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { WidgetTracker } from '@jupyterlab/apputils';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';

import { AppIcons } from '../applications/icon';
import { CommandIDs } from '../commands';
import { RestClient } from '../rest/client';
import { IApplications } from '../tokens';
import { addRunningCommands } from './commands';
import type { LogView } from './log';
import { RunningApplications } from './manager';

/** JupyterLab's Running sidebar. */
const SIDEBAR = 'jp-running-sessions';

/**
 * The section of the Running sidebar, and the commands behind it.
 */
export const running: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-samepage:running-applications',
  description:
    'Lists the running web applications of this server in the Running sidebar, with their uptime and memory, to stop and restart them.',
  autoStart: true,
  requires: [IApplications],
  optional: [IRunningSessionManagers, ILabShell, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IApplications,
    managers: IRunningSessionManagers | null,
    labShell: ILabShell | null,
    translator: ITranslator | null
  ): void => {
    const { commands, serviceManager, shell } = app;
    const trans = (translator ?? nullTranslator).load('jupyter_samepage');
    const client = new RestClient(serviceManager.serverSettings);
    const logs = new WidgetTracker<LogView>({ namespace: 'samepage-log' });
    addRunningCommands({ commands, client, model, logs, shell, trans });

    const icons = new AppIcons(serviceManager.serverSettings.baseUrl);
    const run = (id: string) => (name: string) => {
      void commands.execute(id, { name });
    };
    managers?.add(
      new RunningApplications({
        model,
        trans,
        icon: entry => icons.get(entry),
        actions: {
          open: run(CommandIDs.openApplication),
          stop: run(CommandIDs.stopApplication),
          dismiss: run(CommandIDs.dismissApplication),
          restart: run(CommandIDs.restartApplication),
          retry: run(CommandIDs.retryApplication),
          showLog: run(CommandIDs.showApplicationLog),
          explain: run(CommandIDs.explainFailure),
          stopAll: () => {
            void commands.execute(CommandIDs.stopAllApplications);
          }
        }
      })
    );

    // While the sidebar is open, an application that somebody starts elsewhere appears soon.
    let watching: IDisposable | null = null;
    labShell?.layoutModified.connect(() => {
      const sidebars = [...labShell.widgets('left'), ...labShell.widgets('right')];
      const visible = sidebars.some(widget => widget.id === SIDEBAR && widget.isVisible);
      if (visible && !watching) {
        watching = model.watch();
      } else if (!visible && watching) {
        watching.dispose();
        watching = null;
      }
    });
  }
};
