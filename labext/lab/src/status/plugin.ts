import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar, type Popup, showPopup } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { CommandIDs } from '../commands';
import { memoryIcon } from '../icons';
import { RestClient } from '../rest/client';
import { IApplications, IGpuUse, INodeStatus, type ISnapshot } from '../tokens';
import { addGpuCommands } from './gpucommands';
import { GpuItem } from './gpuitem';
import type { IGpuActs } from './gpupanel';
import { GpuReminder } from './gpureminder';
import { itemWords } from './gpuwording';
import { StatusItem } from './item';
import { StatusPanel } from './panel';

/**
 * The status bar items and their panel.
 */
export const status: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-samepage:status',
  description: 'Shows memory of this server and GPU in the status bar, and the state of its node.',
  autoStart: true,
  requires: [INodeStatus, IGpuUse],
  optional: [IStatusBar, ICommandPalette, IApplications, INotebookTracker, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: INodeStatus,
    gpu: IGpuUse,
    bar: IStatusBar | null,
    palette: ICommandPalette | null,
    applications: IApplications | null,
    notebooks: INotebookTracker | null,
    translator: ITranslator | null
  ): void => {
    const { commands } = app;
    const trans = (translator ?? nullTranslator).load('jupyter_samepage');
    const client = new RestClient(app.serviceManager.serverSettings);
    const category = trans.__('Samepage');
    let popup: Popup | null = null;
    const acts: IGpuActs = {
      free: kernel => {
        popup?.dispose(); // the question stands in front of everything else
        void commands.execute(CommandIDs.freeGpu, { kernel });
      },
      snooze: (uuid, seconds) => {
        // The button that has the focus is about to be another one.
        popup?.node.querySelector<HTMLElement>('.jp-Samepage-myGpus')?.focus();
        void commands.execute(CommandIDs.snoozeGpu, { gpu: uuid, seconds });
      }
    };
    addGpuCommands({ app, client, use: gpu, notebooks, trans });
    new GpuReminder({ use: gpu, acts, trans });
    for (const command of [CommandIDs.freeGpu, CommandIDs.snoozeGpu]) {
      palette?.addItem({ command, category });
    }
    if (!bar) {
      return; // Notebook 7 has no status bar
    }

    const close = (): void => {
      popup?.dispose();
    };
    const open = (anchor: StatusItem | GpuItem): void => {
      const panel = new StatusPanel({ status: model, applications, gpu, acts, trans, close });
      const watching = applications?.watch();
      const opened = showPopup({ body: panel, anchor, align: 'left', hasDynamicSize: true });
      popup = opened;
      anchor.expanded = true;
      void gpu.refresh();
      panel.node.focus();
      if (anchor === gpuItem) {
        panel.showGpu();
      }
      opened.disposed.connect(() => {
        popup = null;
        watching?.dispose();
        anchor.expanded = false;
        if (opened.node.contains(document.activeElement)) {
          anchor.focus();
        }
      }, anchor);
    };
    const toggle = (anchor: StatusItem | GpuItem): void => {
      if (popup) {
        close();
      } else {
        open(anchor);
      }
    };
    const item = new StatusItem({
      status: model,
      trans,
      toggle: () => {
        toggle(item);
      }
    });
    const gpuItem = new GpuItem({
      use: gpu,
      status: model,
      trans,
      toggle: () => {
        toggle(gpuItem);
      }
    });
    // The popup hears Escape only while the focus is inside it.
    for (const { node } of [item, gpuItem]) {
      node.addEventListener('keydown', event => {
        if (event.key === 'Escape') {
          close();
        }
      });
    }
    const hasGpu = (): boolean =>
      itemWords(gpu.snapshot, model.snapshot?.node?.gpus ?? null, trans) !== null;
    register(bar, status.id, item, 3, () => model.snapshot !== null, [model]);
    register(bar, `${status.id}-gpu`, gpuItem, 4, hasGpu, [model, gpu]);

    commands.addCommand(CommandIDs.toggleStatus, {
      label: trans.__('Show Memory and Node Status'),
      caption: trans.__('Open or close the panel behind the status bar item'),
      icon: memoryIcon,
      isEnabled: () => model.snapshot !== null,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        toggle(item);
      }
    });
    commands.addCommand(CommandIDs.toggleGpu, {
      label: trans.__('Show My GPU'),
      caption: trans.__('Open or close the panel with what you hold of the GPU'),
      isEnabled: hasGpu,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        toggle(gpuItem);
      }
    });
    palette?.addItem({ command: CommandIDs.toggleStatus, category });
    palette?.addItem({ command: CommandIDs.toggleGpu, category });
  }
};

/** Put an item into the bar, shown while `isActive`; the models say when that may have changed. */
function register(
  bar: IStatusBar,
  id: string,
  item: StatusItem | GpuItem,
  rank: number,
  isActive: () => boolean,
  models: readonly ISnapshot<unknown>[]
): void {
  const changed = new Signal<object, void>(item);
  let shown = isActive();
  for (const model of models) {
    model.changed.connect(() => {
      if (shown !== isActive()) {
        shown = !shown;
        changed.emit();
      }
    }, item);
  }
  bar.registerStatusItem(id, {
    item,
    align: 'left',
    rank,
    priority: 1,
    isActive,
    activeStateChanged: changed
  });
}
