import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { RestClient } from '../rest/client';
import { IApplications } from '../tokens';
import { ApplicationCards } from './cards';
import { addKeepPlace, addOpenApplication, addOpenFile } from './commands';
import { AppIcons, CardIcons } from './icon';
import { Opener } from './opener';
import { choosePlace } from './placement';
import type { ApplicationTab } from './tab';

/**
 * The launcher's Applications section, and what opens applications.
 */
export const applications: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-samepage:applications',
  description:
    'Shows the web applications of this server in the launcher and opens them, and files in them, in the browser or in a Lab tab.',
  autoStart: true,
  requires: [IApplications],
  optional: [
    ILauncher,
    ICommandPalette,
    ILabShell,
    ILayoutRestorer,
    ISettingRegistry,
    IFileBrowserFactory,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    model: IApplications,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null,
    browsers: IFileBrowserFactory | null,
    translator: ITranslator | null
  ): void => {
    const { commands, contextMenu, serviceManager, shell } = app;
    const trans = (translator ?? nullTranslator).load('jupyter_samepage');
    const settings = serviceManager.serverSettings;
    const tracker = new WidgetTracker<ApplicationTab>({ namespace: 'samepage-application' });
    const { baseUrl } = settings;
    const icons = new CardIcons({ model, baseUrl, trans });
    let openIn: unknown = {};

    const opener = new Opener({
      model,
      client: new RestClient(settings),
      tracker,
      shell,
      baseUrl,
      icons: new AppIcons(baseUrl),
      actions: {
        retry: async name => {
          await commands.execute(CommandIDs.retryApplication, { name });
        },
        showLog: name => {
          void commands.execute(CommandIDs.showApplicationLog, { name });
        }
      },
      trans
    });
    const context = {
      commands,
      model,
      opener,
      icons,
      trans,
      place: (entry: Parameters<typeof choosePlace>[0]['app'], asked: unknown) =>
        choosePlace({ app: entry, asked, setting: openIn, labTabs: labShell !== null }),
      localPath: (path: string) => serviceManager.contents.localPath(path)
    };
    addOpenApplication(context);
    if (browsers) {
      addOpenFile(context, () => {
        const selected = [...(browsers.tracker.currentWidget?.selectedItems() ?? [])];
        return selected.length === 1 && selected[0] ? selected[0].path : null;
      });
    }

    if (registry && labShell) {
      addKeepPlace(
        context,
        () => openIn,
        async choices => {
          await registry.set(applications.id, 'openIn', choices);
        }
      );
    }

    const cards = new ApplicationCards({
      model,
      launcher,
      palette,
      contextMenu: browsers ? contextMenu : null,
      trans,
      labTabs: labShell !== null,
      keepsPlaces: registry !== null && labShell !== null
    });
    model.disposed.connect(() => {
      cards.dispose();
    });

    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openApplication,
        args: tab => ({ name: tab.app, place: 'lab-tab', isRestored: true }),
        name: tab => tab.app
      });
    }

    if (registry) {
      registry
        .load(applications.id)
        .then(loaded => {
          const read = (): void => {
            openIn = loaded.composite['openIn'];
          };
          loaded.changed.connect(read);
          read();
        })
        .catch((reason: unknown) => {
          console.warn('Samepage: the applications settings did not load.', reason);
        });
    }
  }
};
