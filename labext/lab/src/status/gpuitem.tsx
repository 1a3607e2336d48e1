import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { warningIcon } from '../icons';
import type { IGpuUse, INodeStatus } from '../tokens';
import { itemWords } from './gpuwording';

/**
 * The status bar item of the GPU: what this user holds of it, and what is free.
 */
export class GpuItem extends ReactWidget {
  constructor(options: GpuItem.IOptions) {
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
    const { use, status } = this._options;
    return (
      <UseSignal signal={use.changed}>
        {() => <UseSignal signal={status.changed}>{() => this._item()}</UseSignal>}
      </UseSignal>
    );
  }

  private _item(): React.JSX.Element | null {
    const { use, status, trans, toggle } = this._options;
    const item = itemWords(use.snapshot, status.snapshot?.node?.gpus ?? null, trans);
    if (item === null) {
      return null;
    }
    return (
      <button
        type="button"
        className="jp-Samepage-statusButton jp-Samepage-gpuButton jp-StatusBar-TextItem"
        data-level={item.warning === null ? 'normal' : 'high'}
        title={item.warning ?? trans.__('Memory of the GPU; click for what you hold of it')}
        aria-label={item.warning === null ? item.label : `${item.label}. ${item.warning}`}
        aria-haspopup="dialog"
        aria-expanded={this._expanded}
        onClick={toggle}
      >
        {item.warning !== null ? (
          <warningIcon.react tag="span" stylesheet="statusBar" aria-hidden="true" />
        ) : null}
        <span>{item.text}</span>
      </button>
    );
  }

  private readonly _options: GpuItem.IOptions;
  private _expanded = false;
}

export namespace GpuItem {
  export interface IOptions {
    use: IGpuUse;
    status: INodeStatus;
    trans: TranslationBundle;
    toggle: () => void;
  }
}
