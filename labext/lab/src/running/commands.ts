import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { WidgetTracker } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { nameOf } from '../applications/commands';
import { isListed, isRunning } from '../applications/state';
import { CommandIDs } from '../commands';
import { tellError } from '../notify';
import type { AppChange, RestClient } from '../rest/client';
import type { IApp } from '../rest/types';
import type { IApplications } from '../tokens';
import { explainFailure } from './failure';
import { LogView } from './log';

/** Soon enough to see that a change is under way: the server answers only after it. */
const SOON_MS = 300;

/** The commands that change applications, and those that tell of them. */
export function addRunningCommands(context: {
  commands: CommandRegistry;
  client: RestClient;
  model: IApplications;
  logs: WidgetTracker<LogView>;
  shell: JupyterFrontEnd.IShell;
  trans: TranslationBundle;
}): void {
  const { commands, client, model, logs, shell, trans } = context;
  const entryOf = (args: ReadonlyPartialJSONObject): IApp | null => model.find(nameOf(args));
  const titleOf = (args: ReadonlyPartialJSONObject): string =>
    entryOf(args)?.title ?? trans.__('an Application');
  const describedBy = {
    args: {
      type: 'object',
      required: ['name'],
      properties: { name: { type: 'string', description: "The application's name" } }
    }
  };

  /** Ask for a change; a refusal is told in a notification. */
  const ask = async (request: Promise<void>, refused: string): Promise<void> => {
    const soon = window.setTimeout(() => void model.refresh(), SOON_MS);
    try {
      await request;
    } catch (reason) {
      tellError(refused, reason);
    } finally {
      window.clearTimeout(soon);
      await model.refresh();
    }
  };
  const change = async (
    args: ReadonlyPartialJSONObject,
    what: AppChange,
    refused: (title: string) => string
  ): Promise<void> => {
    const entry = entryOf(args);
    if (entry) {
      await ask(client.changeApp(entry.name, what), refused(entry.title));
    }
  };

  const openLog = async (entry: IApp): Promise<LogView> => {
    const view = new LogView({ app: entry, client, trans });
    shell.add(view, 'main');
    await logs.add(view);
    return view;
  };

  commands.addCommand(CommandIDs.stopApplication, {
    label: args => trans.__('Stop %1', titleOf(args)),
    caption: trans.__('Ask it to save and to end'),
    isEnabled: args => {
      const entry = entryOf(args);
      return entry !== null && (isRunning(entry) || entry.state === 'starting');
    },
    describedBy,
    execute: args => change(args, 'stop', title => trans.__('%1 could not be stopped', title))
  });

  commands.addCommand(CommandIDs.restartApplication, {
    label: args => trans.__('Restart %1', titleOf(args)),
    caption: trans.__('Ask it to save and to end, and start it again'),
    isEnabled: args => {
      const entry = entryOf(args);
      return entry !== null && isRunning(entry);
    },
    describedBy,
    execute: args => change(args, 'restart', title => trans.__('%1 could not be restarted', title))
  });

  commands.addCommand(CommandIDs.retryApplication, {
    label: args => trans.__('Retry %1', titleOf(args)),
    caption: trans.__('Start it although it failed'),
    isEnabled: args => entryOf(args)?.state === 'failed',
    describedBy,
    execute: args => change(args, 'retry', title => trans.__('%1 could not be started', title))
  });

  commands.addCommand(CommandIDs.dismissApplication, {
    label: args => trans.__('Dismiss the Failure of %1', titleOf(args)),
    caption: trans.__('Take it off the list of running applications'),
    isEnabled: args => entryOf(args)?.state === 'failed',
    describedBy,
    execute: args => change(args, 'dismiss', title => trans.__('%1 could not be dismissed', title))
  });

  commands.addCommand(CommandIDs.stopAllApplications, {
    label: trans.__('Stop All Applications'),
    caption: trans.__('Ask every application to save and to end'),
    isEnabled: () => model.snapshot?.apps.some(isListed) ?? false,
    describedBy: { args: { type: 'object', properties: {} } },
    execute: () => ask(client.stopApps(), trans.__('The applications could not be stopped'))
  });

  commands.addCommand(CommandIDs.showApplicationLog, {
    label: args => trans.__('Show Log of %1', titleOf(args)),
    caption: trans.__('Show what it wrote'),
    isEnabled: args => entryOf(args)?.managed ?? false,
    describedBy,
    execute: async args => {
      const entry = entryOf(args);
      if (!entry) {
        return;
      }
      const view = logs.find(candidate => candidate.app === entry.name) ?? (await openLog(entry));
      shell.activateById(view.id);
      await view.refresh();
    }
  });

  commands.addCommand(CommandIDs.explainFailure, {
    label: args => trans.__('Why %1 Failed', titleOf(args)),
    caption: trans.__('Show the reason, and what to do'),
    isEnabled: args => entryOf(args)?.state === 'failed',
    describedBy,
    execute: async args => {
      const entry = entryOf(args);
      if (!entry) {
        return;
      }
      const next = await explainFailure(entry, trans);
      if (next !== null) {
        const id = next === 'retry' ? CommandIDs.retryApplication : CommandIDs.showApplicationLog;
        await commands.execute(id, { name: entry.name });
      }
    }
  });
}
