import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification, type WidgetTracker } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { tellError } from '../notify';
import type { RestClient } from '../rest/client';
import type { IApp } from '../rest/types';
import type { IApplications } from '../tokens';
import { BrowserTab } from './browsertab';
import type { AppIcons } from './icon';
import type { Place } from './placement';
import { isRunning } from './state';
import { ApplicationTab } from './tab';

/**
 * Opens applications, and files in them, in a tab of the browser or of JupyterLab. Neither waits
 * for a start: the server's start page is there at once and becomes the application.
 */
export class Opener {
  constructor(options: Opener.IOptions) {
    this._options = options;
  }

  /**
   * Open an application.
   *
   * @param folder - where it should start if it does not run yet; null for its own choice.
   * @param restored - part of a restored layout: a stopped one waits for a click.
   */
  async open(
    app: IApp,
    place: Place,
    folder: string | null,
    restored = false
  ): Promise<ApplicationTab | undefined> {
    const begins = folder !== null && app.managed && app.state === 'stopped' && !restored;
    // A click must reach window.open before the first await, or the browser blocks the tab.
    const browserTab =
      place === 'browser-tab' ? new BrowserTab(begins ? null : this._url(app)) : null;
    const page = begins ? this._startIn(app, folder) : null;
    if (page) {
      await Promise.race([page, patience()]);
    }
    this._lookSoon();
    if (browserTab) {
      if (begins) {
        browserTab.show(this._url(app));
      }
      void page?.then(url => {
        if (url !== null) {
          browserTab.show(url);
        }
      });
      return undefined;
    }
    const tab = await this._labTab(app, restored);
    if (tab.ended && !restored) {
      tab.load();
    }
    void page?.then(url => {
      if (url !== null && !tab.isDisposed) {
        tab.load(url);
      }
    });
    return tab;
  }

  /**
   * Open a file in an application; tells in a notification when that fails.
   *
   * @param path - relative to the server's root folder.
   */
  async openFile(app: IApp, place: Place, path: string): Promise<void> {
    const { client, trans } = this._options;
    const file = PathExt.basename(path);
    const opening = trans.__('Opening %1 in %2…', file, app.title);
    const running = isRunning(app);
    const browserTab =
      place === 'browser-tab' ? new BrowserTab(running ? null : this._url(app), opening) : null;
    if (!browserTab && !running) {
      const tab = await this._labTab(app, false);
      if (tab.ended) {
        tab.load();
      }
    }
    const note = Notification.emit(opening, 'in-progress', { autoClose: false });
    this._lookSoon();
    let url: string;
    try {
      const opened = await client.openInApp(app.name, path);
      url = this._absolute(opened.url);
      if (opened.note) {
        Notification.info(opened.note, { autoClose: 8000 });
      }
    } catch (reason) {
      if (running) {
        browserTab?.close();
      }
      tellError(trans.__('%1 could not be opened in %2', file, app.title), reason, note);
      return;
    }
    if (browserTab && !browserTab.show(url)) {
      // Blocked or closed meanwhile: what was made is one click away.
      Notification.update({
        id: note,
        message: trans.__('%1 is ready in %2.', file, app.title),
        type: 'success',
        autoClose: false,
        actions: [
          {
            label: trans.__('Open'),
            callback: () => {
              window.open(url, '_blank', 'noopener');
            }
          }
        ]
      });
      return;
    }
    Notification.dismiss(note);
    if (!browserTab) {
      (await this._labTab(app, false)).load(url);
    }
  }

  /** Ask the server to start in a folder; the page to show, null when it is the usual one. */
  private async _startIn(app: IApp, folder: string): Promise<string | null> {
    try {
      const url = this._absolute((await this._options.client.openInApp(app.name, folder)).url);
      return url === this._url(app) ? null : url;
    } catch {
      return null; // the start page tells what is wrong
    }
  }

  private async _labTab(app: IApp, restored: boolean): Promise<ApplicationTab> {
    const { tracker, icons, model, shell, actions, trans } = this._options;
    let tab = tracker.find(candidate => candidate.app === app.name);
    if (!tab) {
      tab = new ApplicationTab({
        app,
        url: this._url(app),
        icon: icons.get(app),
        model,
        actions,
        trans,
        startsEnded: restored && (app.state === 'stopped' || app.state === 'failed')
      });
      shell.add(tab, 'main');
      await tracker.add(tab);
    }
    if (!restored) {
      shell.activateById(tab.id);
    }
    return tab;
  }

  private _url(app: IApp): string {
    return this._absolute(app.path);
  }

  private _absolute(path: string): string {
    return new URL(path, new URL(this._options.baseUrl, window.location.href)).href;
  }

  /** The application is about to start: do not leave the list at its slow pace. */
  private _lookSoon(): void {
    window.setTimeout(() => void this._options.model.refresh(), SOON_MS);
  }

  private readonly _options: Opener.IOptions;
}

export namespace Opener {
  export interface IOptions {
    model: IApplications;
    client: Pick<RestClient, 'openInApp'>;
    tracker: WidgetTracker<ApplicationTab>;
    shell: JupyterFrontEnd.IShell;
    baseUrl: string;
    icons: AppIcons;
    actions: ApplicationTab.IActions;
    trans: TranslationBundle;
  }
}

/** As long as the server may take to note the folder before the start page is shown. */
async function patience(): Promise<void> {
  await new Promise(resolve => window.setTimeout(resolve, PATIENCE_MS));
}

const PATIENCE_MS = 300;
const SOON_MS = 700;
