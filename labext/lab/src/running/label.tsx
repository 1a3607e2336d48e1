import type { TranslationBundle } from '@jupyterlab/translation';
import { type LabIcon, refreshIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { logIcon, warningIcon } from '../icons';
import type { IApp } from '../rest/types';

/** What a row can ask for. */
export interface IRowActions {
  readonly restart: (name: string) => void;
  readonly retry: (name: string) => void;
  readonly showLog: (name: string) => void;
}

/**
 * An application in the Running sidebar: its name, what it does, and buttons. The row itself opens
 * it. `children` are the texts a search looks at, which Lab takes from the element unrendered.
 */
export function RunningLabel(props: {
  app: IApp;
  actions: IRowActions;
  trans: TranslationBundle;
  children: readonly [title: string, words: string];
}): React.JSX.Element {
  const { app, actions, trans } = props;
  const [title, words] = props.children;
  const failed = app.state === 'failed';
  const moving = app.state === 'starting' || app.state === 'stopping';
  const opens = failed ? trans.__('%1: why it failed', title) : trans.__('Open %1', title);
  const row = React.useRef<HTMLSpanElement>(null);
  React.useEffect(() => {
    // The tree around it takes Enter for itself, and the button would never be pressed.
    const keep = (event: KeyboardEvent): void => {
      if (event.key === 'Enter') {
        event.stopPropagation();
      }
    };
    const element = row.current;
    element?.addEventListener('keydown', keep);
    return () => {
      element?.removeEventListener('keydown', keep);
    };
  }, []);
  return (
    <span ref={row} className="jp-Samepage-running" data-state={app.state}>
      <span className="jp-Samepage-runningText">
        {/* The click goes on to the row. */}
        <button type="button" className="jp-Samepage-runningTitle" aria-label={opens}>
          {title}
        </button>
        <span className="jp-Samepage-runningWords">
          {failed ? (
            <warningIcon.react tag="span" stylesheet="menuItem" aria-hidden="true" />
          ) : null}
          <span>{words}</span>
        </span>
      </span>
      {failed ? (
        <Action
          icon={refreshIcon}
          label={trans.__('Retry %1', title)}
          act={() => {
            actions.retry(app.name);
          }}
        />
      ) : moving ? null : (
        <Action
          icon={refreshIcon}
          label={trans.__('Restart %1', title)}
          act={() => {
            actions.restart(app.name);
          }}
        />
      )}
      <Action
        icon={logIcon}
        label={trans.__('Show log of %1', title)}
        act={() => {
          actions.showLog(app.name);
        }}
      />
    </span>
  );
}

function Action(props: { icon: LabIcon; label: string; act: () => void }): React.JSX.Element {
  return (
    <button
      type="button"
      className="jp-Samepage-iconButton"
      title={props.label}
      aria-label={props.label}
      onClick={event => {
        event.stopPropagation(); // a click on the row opens the application
        props.act();
      }}
    >
      <props.icon.react tag="span" stylesheet="menuItem" />
    </button>
  );
}
