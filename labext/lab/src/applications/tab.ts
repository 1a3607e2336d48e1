import { IFrame, MainAreaWidget, ToolbarButton } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { launchIcon, type LabIcon, refreshIcon } from '@jupyterlab/ui-components';

import type { IApp } from '../rest/types';

/**
 * An application in a tab of JupyterLab, with buttons to load it again and to move it to the
 * browser.
 */
export class ApplicationTab extends MainAreaWidget<IFrame> {
  constructor(options: { app: IApp; url: string; icon: LabIcon; trans: TranslationBundle }) {
    const { app, url, icon, trans } = options;
    // The application is served from this server's own origin and needs it for its own requests.
    const content = new IFrame({
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
    content.url = url;
    content.addClass('jp-Samepage-frame');
    super({ content });
    this.app = app.name;
    this.id = `jupyter-samepage-app-${app.name}`;
    this.title.label = app.title;
    this.title.caption = app.description;
    this.title.icon = icon;
    this.title.closable = true;
    this.node.querySelector('iframe')?.setAttribute('title', app.title);
    this.toolbar.addItem(
      'reload',
      new ToolbarButton({
        icon: refreshIcon,
        tooltip: trans.__('Load %1 again', app.title),
        onClick: () => {
          content.url = url;
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
  }

  /** The application's name. */
  readonly app: string;
}
