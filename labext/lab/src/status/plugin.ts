import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IStatusBar, type Popup, showPopup } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { CommandIDs } from '../commands';
import { memoryIcon } from '../icons';
import { IApplications, INodeStatus } from '../tokens';
import { StatusItem } from './item';
import { StatusPanel } from './panel';

/**
 * The status bar item and its panel.
 */
export const status: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-samepage:status',
  description: 'Shows memory of this server in the status bar, and the state of its node.',
  autoStart: true,
  requires: [INodeStatus],
  optional: [IStatusBar, ICommandPalette, IApplications, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: INodeStatus,
    bar: IStatusBar | null,
    palette: ICommandPalette | null,
    applications: IApplications | null,
    translator: ITranslator | null
  ): void => {
    if (!bar) {
      return; // Notebook 7 has no status bar
    }
    const trans = (translator ?? nullTranslator).load('jupyter_samepage');
    let popup: Popup | null = null;

    const close = (): void => {
      popup?.dispose();
    };
    const open = (): void => {
      const panel = new StatusPanel({ status: model, applications, trans, close });
      const watching = applications?.watch();
      const opened = showPopup({ body: panel, anchor: item, align: 'left', hasDynamicSize: true });
      popup = opened;
      item.expanded = true;
      panel.node.focus();
      opened.disposed.connect(() => {
        popup = null;
        watching?.dispose();
        item.expanded = false;
        if (opened.node.contains(document.activeElement)) {
          item.focus();
        }
      }, item);
    };
    const toggle = (): void => {
      if (popup) {
        close();
      } else {
        open();
      }
    };
    const item = new StatusItem({ status: model, trans, toggle });
    // The popup hears Escape only while the focus is inside it.
    item.node.addEventListener('keydown', event => {
      if (event.key === 'Escape') {
        close();
      }
    });

    const active = new Signal<INodeStatus, void>(model);
    let shown = false;
    model.changed.connect(() => {
      if (shown !== (model.snapshot !== null)) {
        shown = !shown;
        active.emit();
      }
    }, item);
    bar.registerStatusItem(status.id, {
      item,
      align: 'left',
      rank: 3,
      priority: 1,
      isActive: () => model.snapshot !== null,
      activeStateChanged: active
    });

    app.commands.addCommand(CommandIDs.toggleStatus, {
      label: trans.__('Show Memory and Node Status'),
      caption: trans.__('Open or close the panel behind the status bar item'),
      icon: memoryIcon,
      isEnabled: () => model.snapshot !== null,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: toggle
    });
    palette?.addItem({ command: CommandIDs.toggleStatus, category: trans.__('Samepage') });
  }
};
