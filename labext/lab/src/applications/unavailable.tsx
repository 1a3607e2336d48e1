import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { Fix, Prose } from '../proseview';
import type { IApp } from '../rest/types';

/**
 * Say why an application cannot start, and what to install.
 *
 * @returns true when the user wants it looked for again.
 */
export async function explainUnavailable(app: IApp, trans: TranslationBundle): Promise<boolean> {
  const body = ReactWidget.create(
    <div className="jp-Samepage-unavailable">
      <p>
        <Prose text={app.reason ?? trans.__('The server gives no reason.')} />
      </p>
      {app.fix ? (
        <>
          <h3>{trans.__('What to do')}</h3>
          <Fix fix={app.fix} trans={trans} />
        </>
      ) : null}
    </div>
  );
  const result = await showDialog({
    title: trans.__('%1 cannot start on this server', app.title),
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Look again'), actions: [LOOK_AGAIN] }),
      Dialog.okButton({ label: trans.__('Close') })
    ],
    defaultButton: 1
  });
  return result.button.actions.includes(LOOK_AGAIN);
}

const LOOK_AGAIN = 'look-again';
