import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { Fix, Prose } from '../proseview';
import type { IApp } from '../rest/types';
import { exitWords } from './wording';

/**
 * Say why an application failed.
 *
 * @returns what the user wants done about it; null for nothing.
 */
export async function explainFailure(
  app: IApp,
  trans: TranslationBundle
): Promise<'retry' | 'log' | null> {
  const { failure } = app;
  const exit = failure ? exitWords(failure, trans) : null;
  const body = ReactWidget.create(
    <div className="jp-Samepage-unavailable">
      <p>
        <Prose text={failure?.message ?? trans.__('The server gives no reason.')} />
      </p>
      {exit !== null ? <p className="jp-Samepage-quiet">{exit}</p> : null}
      {failure?.fix ? (
        <>
          <h3>{trans.__('What to do')}</h3>
          <Fix fix={failure.fix} trans={trans} />
        </>
      ) : null}
      {failure && failure.log_tail.length > 0 ? (
        <>
          <h3>{trans.__('What it wrote last')}</h3>
          <pre
            className="jp-Samepage-logTail"
            tabIndex={0}
            aria-label={trans.__('What %1 wrote last', app.title)}
          >
            {failure.log_tail.join('\n')}
          </pre>
        </>
      ) : null}
    </div>
  );
  const result = await showDialog({
    title: trans.__('%1 failed', app.title),
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Close') }),
      Dialog.cancelButton({ label: trans.__('Show log'), actions: ['log'] }),
      Dialog.okButton({ label: trans.__('Retry') })
    ],
    defaultButton: 2
  });
  if (result.button.accept) {
    return 'retry';
  }
  return result.button.actions.includes('log') ? 'log' : null;
}
