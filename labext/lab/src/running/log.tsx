import { MainAreaWidget, ReactWidget, ToolbarButton, Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { copyIcon, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { logIcon } from '../icons';
import { SnapshotModel } from '../model';
import { Fix, Prose } from '../proseview';
import type { RestClient } from '../rest/client';
import type { IApp, IAppLog } from '../rest/types';

/**
 * What an application wrote, renewed as long as it can be seen.
 */
export class LogView extends MainAreaWidget<ReactWidget> {
  constructor(options: {
    app: IApp;
    client: Pick<RestClient, 'appLog'>;
    trans: TranslationBundle;
  }) {
    const { app, client, trans } = options;
    const log: SnapshotModel<IAppLog> = new SnapshotModel({
      name: `jupyter-samepage:log-${app.name}`,
      fetch: () => client.appLog(app.name, LINES),
      interval: () => INTERVAL_MS,
      // The first look is made when it is shown.
      standby: () => (this.isVisible ? 'when-hidden' : true)
    });
    const content = ReactWidget.create(
      <UseSignal signal={log.changed}>
        {() => <Log log={log} title={app.title} trans={trans} />}
      </UseSignal>
    );
    content.addClass('jp-Samepage-log');
    super({ content });
    this._log = log;
    this.app = app.name;
    this.id = `jupyter-samepage-log-${app.name}`;
    this.title.label = trans.__('Log of %1', app.title);
    this.title.icon = logIcon;
    this.title.closable = true;
    this.toolbar.addItem(
      'copy',
      new ToolbarButton({
        icon: copyIcon,
        tooltip: trans.__('Copy the log'),
        onClick: () => {
          Clipboard.copyToSystem(log.snapshot?.lines.join('\n') ?? '');
        }
      })
    );
  }

  /** The application's name. */
  readonly app: string;

  /** Look now. */
  async refresh(): Promise<void> {
    await this._log.refresh();
  }

  override dispose(): void {
    this._log.dispose();
    super.dispose();
  }

  private readonly _log: SnapshotModel<IAppLog>;
}

function Log(props: {
  log: SnapshotModel<IAppLog>;
  title: string;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { log, title, trans } = props;
  const frame = React.useRef<HTMLPreElement>(null);
  const atEnd = React.useRef(true);
  const text = log.snapshot?.lines.join('\n') ?? '';
  React.useLayoutEffect(() => {
    if (frame.current && atEnd.current) {
      frame.current.scrollTop = frame.current.scrollHeight;
    }
  }, [text]);
  if (log.error) {
    return (
      <div className="jp-Samepage-notice" role="status">
        <p>
          <Prose text={log.error.message} />
        </p>
        {log.error.fix ? <Fix fix={log.error.fix} trans={trans} /> : null}
      </div>
    );
  }
  return (
    <pre
      ref={frame}
      role="region"
      tabIndex={0}
      aria-label={trans.__('Log of %1', title)}
      onScroll={event => {
        const { scrollTop, clientHeight, scrollHeight } = event.currentTarget;
        atEnd.current = scrollTop + clientHeight >= scrollHeight - 8;
      }}
    >
      {text || (log.snapshot ? trans.__('It has written nothing yet.') : '')}
    </pre>
  );
}

const LINES = 1_000;
const INTERVAL_MS = 2_000;
