import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { checkIcon, copyIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { copyable, splitProse } from './prose';

/** A sentence with its `commands` set as code. */
export function Prose(props: { text: string }): React.JSX.Element {
  return (
    <>
      {splitProse(props.text).map((part, index) =>
        part.code ? <code key={index}>{part.text}</code> : part.text
      )}
    </>
  );
}

/** What to do next, with a button that copies the command in it. */
export function Fix(props: { fix: string; trans: TranslationBundle }): React.JSX.Element {
  const { fix, trans } = props;
  const [copied, setCopied] = React.useState(false);
  const label = copied ? trans.__('Copied') : trans.__('Copy');
  const Icon = copied ? checkIcon : copyIcon;
  return (
    <div className="jp-Samepage-fix">
      <p>
        <Prose text={fix} />
      </p>
      <button
        type="button"
        className="jp-Samepage-iconButton"
        title={label}
        aria-label={label}
        onClick={() => {
          Clipboard.copyToSystem(copyable(fix));
          setCopied(true);
        }}
      >
        <Icon.react tag="span" stylesheet="menuItem" />
      </button>
    </div>
  );
}
