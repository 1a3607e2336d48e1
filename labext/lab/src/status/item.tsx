import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { warningIcon } from '../icons';
import type { IServerStatus } from '../rest/types';
import type { INodeStatus } from '../tokens';
import { memoryLevel } from './level';
import { levelWords, memoryWords } from './wording';

/**
 * The status bar item: this server's memory.
 */
export class StatusItem extends ReactWidget {
  constructor(options: { status: INodeStatus; trans: TranslationBundle; toggle: () => void }) {
    super();
    this._options = options;
    this.addClass('jp-Samepage-statusItem');
  }

  /** Whether the panel is open; for those who cannot see it. */
  set expanded(expanded: boolean) {
    this._expanded = expanded;
    this.update();
  }

  /** Take the focus, as after the panel closes. */
  focus(): void {
    this.node.querySelector('button')?.focus();
  }

  protected override render(): React.JSX.Element {
    const { status, trans, toggle } = this._options;
    return (
      <UseSignal signal={status.changed}>
        {() =>
          status.snapshot ? (
            <Item
              snapshot={status.snapshot}
              expanded={this._expanded}
              trans={trans}
              toggle={toggle}
            />
          ) : null
        }
      </UseSignal>
    );
  }

  private readonly _options: {
    status: INodeStatus;
    trans: TranslationBundle;
    toggle: () => void;
  };
  private _expanded = false;
}

function Item(props: {
  snapshot: IServerStatus;
  expanded: boolean;
  trans: TranslationBundle;
  toggle: () => void;
}): React.JSX.Element {
  const { snapshot, expanded, trans, toggle } = props;
  const { memory } = snapshot;
  const level = memoryLevel(memory.used_bytes, memory.limit_bytes);
  const warning = levelWords(level, trans);
  const words = memoryWords(memory);
  const text = words === null ? trans.__('Mem –') : trans.__('Mem %1', words);
  const title = warning ?? trans.__('Memory of this server; click for the node');
  const broken = snapshot.features.filter(feature => feature.state === 'failed').length;
  const label = [text, warning, broken > 0 ? trans.__('A part of Samepage failed') : null]
    .filter(part => part !== null)
    .join('. ');
  return (
    <button
      type="button"
      className="jp-Samepage-statusButton jp-StatusBar-TextItem"
      data-level={level}
      title={title}
      aria-label={label}
      aria-haspopup="dialog"
      aria-expanded={expanded}
      onClick={toggle}
    >
      {warning !== null ? (
        <warningIcon.react tag="span" stylesheet="statusBar" aria-hidden="true" />
      ) : null}
      <span>{text}</span>
    </button>
  );
}
