import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { CommandIDs } from '../commands';
import type { IApp } from '../rest/types';
import type { IApplications } from '../tokens';
import { opensFile } from './files';
import type { CardIcons } from './icon';
import type { Opener } from './opener';
import { chosenPlace, isPlace, type Place, withPlace } from './placement';
import { explainUnavailable } from './unavailable';

/** What the commands work with. */
export interface ICommandContext {
  readonly commands: CommandRegistry;
  readonly model: IApplications;
  readonly opener: Opener;
  readonly icons: CardIcons;
  readonly trans: TranslationBundle;

  /** Where to open an application, when somebody asked for `asked`. */
  readonly place: (app: IApp, asked: unknown) => Place;

  /** A path of the file browser as the server knows it. */
  readonly localPath: (path: string) => string;
}

/** The command behind the cards. */
export function addOpenApplication(context: ICommandContext): void {
  const { commands, model, opener, icons, trans, place, localPath } = context;

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

  commands.addCommand(CommandIDs.openApplication, {
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
          cwd: { type: 'string', description: 'The folder to start in, if it does not run yet' },
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
      const cwd = args['cwd'];
      const folder = typeof cwd === 'string' ? localPath(cwd) : null;
      return opener.open(entry, place(entry, args['place']), folder, restored);
    }
  });
}

/**
 * The command behind the file browser's context menu.
 *
 * @param selected - path of the one selected file; null when there is not exactly one.
 */
export function addOpenFile(context: ICommandContext, selected: () => string | null): void {
  const { commands, model, opener, trans, place, localPath } = context;
  const pathOf = (args: ReadonlyPartialJSONObject): string | null =>
    typeof args['path'] === 'string' ? args['path'] : selected();

  commands.addCommand(CommandIDs.openFile, {
    label: args => {
      const entry = model.find(nameOf(args));
      if (!entry) {
        return trans.__('Open in an Application');
      }
      const reason = refusal(entry, trans);
      if (reason !== null && args['isPalette'] !== true) {
        return trans.__('Open in %1 (not available: %2)', entry.title, reason);
      }
      return args['isPalette'] === true
        ? trans.__('Open the Selected File in %1', entry.title)
        : trans.__('Open in %1', entry.title);
    },
    caption: args => {
      const entry = model.find(nameOf(args));
      return (entry && refusal(entry, trans)) ?? '';
    },
    isVisible: args => opensFile(nameOf(args), pathOf(args) ?? ''),
    isEnabled: args => {
      const entry = model.find(nameOf(args));
      return entry !== null && refusal(entry, trans) === null;
    },
    describedBy: {
      args: {
        type: 'object',
        required: ['name'],
        properties: {
          name: { type: 'string', description: "The application's name, such as openrefine" },
          path: { type: 'string', description: 'The file; without it the selected one' },
          isPalette: { type: 'boolean', description: 'Label for the command palette' }
        }
      }
    },
    execute: async args => {
      const entry = model.find(nameOf(args));
      const path = pathOf(args);
      if (entry && path !== null) {
        await opener.openFile(entry, place(entry, args['place']), localPath(path));
      }
    }
  });
}

/**
 * The command that remembers where an application opens.
 *
 * @param setting - the choices of this user, by application.
 * @param save - keeps new ones.
 */
export function addKeepPlace(
  context: Pick<ICommandContext, 'commands' | 'model' | 'trans'>,
  setting: () => unknown,
  save: (choices: Record<string, Place>) => Promise<void>
): void {
  const { commands, model, trans } = context;
  commands.addCommand(CommandIDs.keepPlace, {
    label: args => {
      const title = model.find(nameOf(args))?.title ?? trans.__('an Application');
      return args['place'] === 'lab-tab'
        ? trans.__('Always Open %1 in a Lab Tab', title)
        : trans.__('Always Open %1 in a Browser Tab', title);
    },
    isToggleable: true,
    isToggled: args => chosenPlace(setting(), nameOf(args)) === args['place'],
    isEnabled: args => model.find(nameOf(args)) !== null,
    describedBy: {
      args: {
        type: 'object',
        required: ['name', 'place'],
        properties: {
          name: { type: 'string', description: "The application's name, such as openrefine" },
          place: {
            type: 'string',
            enum: ['browser-tab', 'lab-tab'],
            description: 'The same place again takes the choice back'
          }
        }
      }
    },
    execute: async args => {
      const place = args['place'];
      if (isPlace(place)) {
        await save(withPlace(setting(), nameOf(args), place));
      }
    }
  });
}

/** Why no file can be opened in an application, for the end of a menu item; null when it can. */
function refusal(app: IApp, trans: TranslationBundle): string | null {
  if (!app.available) {
    return app.reason?.replace(/\.$/, '') ?? trans.__('the server gives no reason');
  }
  return app.managed ? null : trans.__('this server does not supervise applications');
}

/** The application a command is asked about; empty when it does not say. */
export function nameOf(args: ReadonlyPartialJSONObject): string {
  const name = args['name'];
  return typeof name === 'string' ? name : '';
}
