import { IFrame, MainAreaWidget, ReactWidget, ToolbarButton } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { launchIcon, type LabIcon, refreshIcon, UseSignal } from '@jupyterlab/ui-components';
import { Signal } from '@lumino/signaling';
import { SingletonLayout, Widget } from '@lumino/widgets';
import React from 'react';

import type { IApp } from '../rest/types';
import type { IApplications } from '../tokens';
import { Ended } from './ended';
import { type ITabView, nextView } from './tabview';

/**
 * An application in a tab of JupyterLab, with buttons to load it again and to move it to the
 * browser. When the application ends, the tab says so and offers to start it again.
 */
export class ApplicationTab extends MainAreaWidget {
  constructor(options: ApplicationTab.IOptions) {
    const { app, url, icon, trans } = options;
    const content = new Widget();
    content.layout = new SingletonLayout();
    content.addClass('jp-Samepage-application');
    super({ content });
    this._options = options;
    this.app = app.name;
    this.id = `jupyter-samepage-app-${app.name}`;
    this.title.label = app.title;
    this.title.caption = app.description;
    this.title.icon = icon;
    this.title.closable = true;
    this.toolbar.addItem(
      'reload',
      new ToolbarButton({
        icon: refreshIcon,
        tooltip: trans.__('Load %1 again', app.title),
        onClick: () => {
          this.load();
        }
      })
    );
    this.toolbar.addItem(
      'browser',
      new ToolbarButton({
        icon: launchIcon,
        tooltip: trans.__('Open %1 in a browser tab', app.title),
        onClick: () => {
          window.open(url, '_blank', 'noopener');
          this.close();
        }
      })
    );
    if (options.startsEnded) {
      this._view = { shows: 'ended', ran: false, uptime: null };
      this._showEnded();
    } else {
      this.load();
    }
    options.model.changed.connect(this._look, this);
  }

  /** The application's name. */
  readonly app: string;

  /** True while the tab says that the application has ended. */
  get ended(): boolean {
    return this._view.shows === 'ended';
  }

  /** Load the application, or one of its pages. Starts one that was stopped. */
  load(url: string = this._options.url): void {
    this._view = { shows: 'app', ran: false, uptime: null };
    // The application is served from this server's own origin and needs it for its own requests.
    const frame = new IFrame({
      referrerPolicy: 'same-origin',
      sandbox: [
        'allow-downloads',
        'allow-forms',
        'allow-modals',
        'allow-popups',
        'allow-same-origin',
        'allow-scripts'
      ]
    });
    frame.addClass('jp-Samepage-frame');
    frame.url = url;
    frame.node.querySelector('iframe')?.setAttribute('title', this._options.app.title);
    this._show(frame);
  }

  override dispose(): void {
    Signal.clearData(this);
    super.dispose();
  }

  private _look(): void {
    const app = this._options.model.find(this.app);
    const before = this._view.shows;
    const { view, load } = nextView(this._view, app?.state ?? null, app?.uptime_seconds ?? null);
    if (load) {
      this.load();
    } else if (view.shows === 'ended' && before === 'app') {
      this._showEnded();
    }
    this._view = view;
  }

  /** In place of the page, whose own requests could start the application again. */
  private _showEnded(): void {
    const { app, model, trans, actions } = this._options;
    this._show(
      ReactWidget.create(
        <UseSignal signal={model.changed}>
          {() => (
            <Ended
              app={model.find(app.name) ?? app}
              trans={trans}
              start={() => {
                if (model.find(app.name)?.state === 'failed') {
                  void actions.retry(app.name).then(() => {
                    this.load();
                  });
                } else {
                  this.load();
                  void model.refresh();
                }
              }}
              showLog={() => {
                actions.showLog(app.name);
              }}
            />
          )}
        </UseSignal>
      )
    );
  }

  private _show(widget: Widget): void {
    // Taken out of the page, a frame cannot ask whether one really wants to leave it.
    (this.content.layout as SingletonLayout).widget = widget;
  }

  private readonly _options: ApplicationTab.IOptions;
  private _view: ITabView = { shows: 'app', ran: false, uptime: null };
}

export namespace ApplicationTab {
  /** What the tab can ask for. */
  export interface IActions {
    /** Start an application that failed; resolves also when that is refused. */
    readonly retry: (name: string) => Promise<void>;

    readonly showLog: (name: string) => void;
  }

  export interface IOptions {
    app: IApp;
    url: string;
    icon: LabIcon;
    model: IApplications;
    actions: IActions;
    trans: TranslationBundle;

    /** True to wait for a click before the application is started. */
    startsEnded: boolean;
  }
}
