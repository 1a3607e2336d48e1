import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { ILauncher } from '@jupyterlab/launcher';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet, type IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import { CommandIDs } from '../commands';
import type { IApp } from '../rest/types';
import type { IApplications } from '../tokens';
import { suffixesOf } from './files';
import { sameCard } from './state';

/** Between the launcher's Notebook (0) and Console (20) sections, in every language. */
const CATEGORY_RANK = 10;

/** Right after the file browser's Open With (1.3). */
const OPEN_FILE_RANK = 1.4;

/**
 * Keeps the launcher's Applications section, the palette and the file browser's context menu in
 * step with the model. An application that did not change keeps its card, so that a poll never
 * takes the focus away. After a failed request the cards stay as they were.
 */
export class ApplicationCards implements IDisposable {
  constructor(options: ApplicationCards.IOptions) {
    this._options = options;
    options.model.changed.connect(this._update, this);
    this._update();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    Signal.clearData(this);
    for (const card of this._cards.values()) {
      card.items.dispose();
    }
    this._cards.clear();
  }

  private _update(): void {
    const apps = this._options.model.snapshot?.apps;
    if (!apps) {
      return;
    }
    const names = new Set(apps.map(app => app.name));
    for (const [name, card] of this._cards) {
      if (!names.has(name)) {
        card.items.dispose();
        this._cards.delete(name);
      }
    }
    for (const app of apps) {
      const card = this._cards.get(app.name);
      if (!card || !sameCard(card.app, app)) {
        card?.items.dispose();
        this._cards.set(app.name, { app, items: this._add(app) });
      }
    }
  }

  private _add(app: IApp): IDisposable {
    const items = new DisposableSet();
    const { launcher, contextMenu, trans } = this._options;
    if (launcher && app.launcher) {
      items.add(
        launcher.add({
          command: CommandIDs.openApplication,
          args: { name: app.name, isLauncher: true },
          category: trans.__('Applications'),
          categoryRank: CATEGORY_RANK,
          rank: app.rank
        })
      );
    }
    const opensFiles = contextMenu !== null && suffixesOf(app.name) !== null;
    if (opensFiles) {
      items.add(
        contextMenu.addItem({
          command: CommandIDs.openFile,
          args: { name: app.name },
          selector: '.jp-DirListing-item[data-isdir="false"]',
          rank: OPEN_FILE_RANK
        })
      );
    }
    this._addToPalette(app, opensFiles, items);
    return items;
  }

  private _addToPalette(app: IApp, opensFiles: boolean, items: DisposableSet): void {
    const { palette, trans, labTabs, keepsPlaces } = this._options;
    if (!palette) {
      return;
    }
    const { name } = app;
    const category = trans.__('Applications');
    const places = labTabs ? [null, 'lab-tab', 'browser-tab'] : [null];
    for (const place of places) {
      const args = place ? { name, place } : { name };
      items.add(palette.addItem({ command: CommandIDs.openApplication, args, category }));
      if (place && keepsPlaces) {
        items.add(palette.addItem({ command: CommandIDs.keepPlace, args, category }));
      }
    }
    if (opensFiles) {
      const args = { name, isPalette: true };
      items.add(palette.addItem({ command: CommandIDs.openFile, args, category }));
    }
    if (app.managed) {
      for (const command of MANAGED) {
        items.add(palette.addItem({ command, args: { name }, category }));
      }
    }
  }

  private readonly _options: ApplicationCards.IOptions;
  private readonly _cards = new Map<string, { app: IApp; items: IDisposable }>();
  private _isDisposed = false;
}

const MANAGED = [
  CommandIDs.stopApplication,
  CommandIDs.restartApplication,
  CommandIDs.dismissApplication,
  CommandIDs.showApplicationLog
];

export namespace ApplicationCards {
  export interface IOptions {
    model: IApplications;
    launcher: ILauncher | null;
    palette: ICommandPalette | null;
    /** Null where there is no file browser. */
    contextMenu: JupyterFrontEnd['contextMenu'] | null;
    trans: TranslationBundle;
    /** Whether an application can open in a tab of the application shell. */
    labTabs: boolean;
    /** Whether a choice of the place can be remembered. */
    keepsPlaces: boolean;
  }
}
