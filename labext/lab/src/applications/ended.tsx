import type { TranslationBundle } from '@jupyterlab/translation';
import { refreshIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { logIcon, warningIcon } from '../icons';
import { Fix, Prose } from '../proseview';
import type { IApp } from '../rest/types';

/** What a tab shows in place of an application that does not run. */
export function Ended(props: {
  app: IApp;
  trans: TranslationBundle;
  start: () => void;
  showLog: () => void;
}): React.JSX.Element {
  const { app, trans, start, showLog } = props;
  const stopping = app.state === 'stopping';
  const failure = app.state === 'failed' ? app.failure : null;
  return (
    <div className="jp-Samepage-ended">
      <div role="status">
        <h2>
          {app.state === 'failed' ? (
            <warningIcon.react tag="span" stylesheet="menuItem" aria-hidden="true" />
          ) : null}
          {endedWords(app, trans)}
        </h2>
        {failure ? (
          <p>
            <Prose text={failure.message} />
          </p>
        ) : null}
        {app.state === 'stopped' && app.why === 'idle' ? (
          <p>{trans.__('It was stopped because nobody used it, to give its memory back.')}</p>
        ) : null}
      </div>
      {failure?.fix ? <Fix fix={failure.fix} trans={trans} /> : null}
      <div className="jp-Samepage-actions">
        <button
          type="button"
          className="jp-Samepage-button"
          aria-disabled={stopping}
          onClick={() => {
            if (!stopping) {
              start();
            }
          }}
        >
          <refreshIcon.react tag="span" stylesheet="menuItem" />
          {trans.__('Start again')}
        </button>
        <button type="button" className="jp-Samepage-button" onClick={showLog}>
          <logIcon.react tag="span" stylesheet="menuItem" />
          {trans.__('Show log')}
        </button>
      </div>
    </div>
  );
}

function endedWords(app: IApp, trans: TranslationBundle): string {
  switch (app.state) {
    case 'failed':
      return trans.__('%1 failed', app.title);
    case 'stopping':
      return trans.__('%1 is stopping…', app.title);
    default:
      return trans.__('%1 is not running', app.title);
  }
}
