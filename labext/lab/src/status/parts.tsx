import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { warningIcon } from '../icons';
import { Fix, Prose } from '../proseview';
import type { Level } from './level';

/** What every part that says something is given. */
export interface ITranslated {
  readonly trans: TranslationBundle;
}

/** A name and its value. */
export function Row(props: { name: string; value: string }): React.JSX.Element {
  return (
    <dl className="jp-Samepage-row">
      <dt>{props.name}</dt>
      <dd>{props.value}</dd>
    </dl>
  );
}

/** How full something is. */
export function Meter(props: { ratio: number; level: Level; label: string }): React.JSX.Element {
  const percent = Math.min(100, Math.round(props.ratio * 100));
  return (
    <div
      className="jp-Samepage-meter"
      role="meter"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      data-level={props.level}
    >
      <div style={{ width: `${percent}%` }} />
    </div>
  );
}

/** What is wrong, and what to do. */
export function Trouble(
  props: ITranslated & { message: string; fix: string | null }
): React.JSX.Element {
  const { message, fix, trans } = props;
  return (
    <div className="jp-Samepage-trouble">
      <warningIcon.react tag="span" stylesheet="menuItem" aria-hidden="true" />
      <div>
        <p>
          <Prose text={message} />
        </p>
        {fix ? <Fix fix={fix} trans={trans} /> : null}
      </div>
    </div>
  );
}
