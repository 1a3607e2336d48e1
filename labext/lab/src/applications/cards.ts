import type { ICommandPalette } from '@jupyterlab/apputils';
import type { ILauncher } from '@jupyterlab/launcher';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet, type IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import { CommandIDs } from '../commands';
import type { IApp } from '../rest/types';
import { type ApplicationsModel, sameApp } from './model';

/** Between the launcher's Notebook (0) and Console (20) sections, in every language. */
const CATEGORY_RANK = 10;

/**
 * Keeps the launcher's Applications section and the palette in step with the model. An application
 * that did not change keeps its card, so that a poll never takes the focus away. After a failed
 * request the cards stay as they were.
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
      if (!card || !sameApp(card.app, app)) {
        card?.items.dispose();
        this._cards.set(app.name, { app, items: this._add(app) });
      }
    }
  }

  private _add(app: IApp): IDisposable {
    const { launcher, palette, trans, labTabs } = this._options;
    const category = trans.__('Applications');
    const items = new DisposableSet();
    if (launcher) {
      items.add(
        launcher.add({
          command: CommandIDs.openApplication,
          args: { name: app.name, isLauncher: true },
          category,
          categoryRank: CATEGORY_RANK,
          rank: app.rank
        })
      );
    }
    if (palette) {
      const places = labTabs ? [null, 'lab-tab', 'browser-tab'] : [null];
      for (const place of places) {
        items.add(
          palette.addItem({
            command: CommandIDs.openApplication,
            args: place ? { name: app.name, place } : { name: app.name },
            category
          })
        );
      }
    }
    return items;
  }

  private readonly _options: ApplicationCards.IOptions;
  private readonly _cards = new Map<string, { app: IApp; items: IDisposable }>();
  private _isDisposed = false;
}

export namespace ApplicationCards {
  export interface IOptions {
    model: ApplicationsModel;
    launcher: ILauncher | null;
    palette: ICommandPalette | null;
    trans: TranslationBundle;
    /** Whether an application can open in a tab of the application shell. */
    labTabs: boolean;
  }
}
