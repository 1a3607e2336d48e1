import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { URLExt } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { CommandIDs } from '../commands';
import { RestClient } from '../rest/client';
import type { IApp } from '../rest/types';
import { ApplicationCards } from './cards';
import { CardIcons } from './icon';
import { ApplicationsModel } from './model';
import { choosePlace, type Place } from './placement';
import { ApplicationTab } from './tab';
import { explainUnavailable } from './unavailable';

/** On focus, ask again when the last answer is older. */
const STALE_MS = 5_000;

/**
 * The launcher's Applications section.
 */
export const applications: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-samepage:applications',
  description:
    'Shows the web applications of this server in the launcher and opens them in the browser or in a Lab tab.',
  autoStart: true,
  optional: [ILauncher, ICommandPalette, ILabShell, ILayoutRestorer, ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('jupyter_samepage');
    const settings = app.serviceManager.serverSettings;
    const model = new ApplicationsModel(new RestClient(settings));
    const tracker = new WidgetTracker<ApplicationTab>({ namespace: 'samepage-application' });
    const icons = new CardIcons();
    let openIn: unknown = {};

    const open = async (entry: IApp, place: Place): Promise<ApplicationTab | undefined> => {
      const url = URLExt.join(settings.baseUrl, entry.path);
      if (place === 'browser-tab') {
        window.open(url, '_blank', 'noopener');
        return undefined;
      }
      let tab = tracker.find(candidate => candidate.app === entry.name);
      if (!tab) {
        tab = new ApplicationTab({ app: entry, url, icon: icons.get(entry), trans });
        app.shell.add(tab, 'main');
        await tracker.add(tab);
      }
      app.shell.activateById(tab.id);
      return tab;
    };

    const label = (args: ReadonlyPartialJSONObject): string => {
      const entry = model.find(nameOf(args));
      if (!entry) {
        return nameOf(args) || trans.__('Open an Application');
      }
      if (args['isLauncher'] === true) {
        // The card's second line: its tooltip and its dialog say more.
        return entry.available ? entry.title : `${entry.title}\n${trans.__('Not available')}`;
      }
      switch (args['place']) {
        case 'lab-tab':
          return trans.__('Open %1 in a Lab Tab', entry.title);
        case 'browser-tab':
          return trans.__('Open %1 in a Browser Tab', entry.title);
        default:
          return trans.__('Open %1', entry.title);
      }
    };

    app.commands.addCommand(CommandIDs.openApplication, {
      label,
      caption: args => {
        const entry = model.find(nameOf(args));
        if (!entry) {
          return trans.__('Open a web application of this server');
        }
        return entry.available
          ? entry.description
          : trans.__('%1 — not available: %2', entry.title, entry.reason ?? '');
      },
      icon: args => {
        const entry = model.find(nameOf(args));
        return args['isLauncher'] === true && entry ? icons.get(entry) : undefined;
      },
      describedBy: {
        args: {
          type: 'object',
          required: ['name'],
          properties: {
            name: { type: 'string', description: "The application's name, such as openrefine" },
            place: {
              type: 'string',
              enum: ['browser-tab', 'lab-tab'],
              description: 'Overrules the setting'
            },
            isLauncher: { type: 'boolean', description: 'Label and icon for a launcher card' },
            isRestored: {
              type: 'boolean',
              description: 'Part of a restored layout: never ask, never steal the focus'
            }
          }
        }
      },
      execute: async args => {
        const name = nameOf(args);
        const restored = args['isRestored'] === true;
        // A click must reach window.open before the first await, or the browser blocks the tab.
        if (!model.find(name)) {
          await (restored ? model.ready : model.refresh());
        }
        const entry = model.find(name);
        if (!entry) {
          if (restored) {
            return undefined;
          }
          throw new Error(
            model.error?.message ?? trans.__('This server has no application named %1.', name)
          );
        }
        if (!entry.available) {
          if (!restored && (await explainUnavailable(entry, trans))) {
            await model.refresh();
          }
          return undefined;
        }
        const place = choosePlace({
          app: entry,
          asked: args['place'],
          setting: openIn,
          labTabs: labShell !== null
        });
        return open(entry, place);
      }
    });

    const cards = new ApplicationCards({
      model,
      launcher,
      palette,
      trans,
      labTabs: labShell !== null
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

    // A program may have been installed in a terminal or another window meanwhile.
    window.addEventListener('focus', () => {
      void model.refreshIfOlderThan(STALE_MS, Date.now());
    });
  }
};

function nameOf(args: ReadonlyPartialJSONObject): string {
  const name = args['name'];
  return typeof name === 'string' ? name : '';
}
