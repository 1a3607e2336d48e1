import type { IRunningSessions } from '@jupyterlab/running';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import { type ISignal, Signal } from '@lumino/signaling';
import React from 'react';

import { isListed } from '../applications/state';
import type { IApp } from '../rest/types';
import type { IApplications } from '../tokens';
import { type IRowActions, RunningLabel } from './label';
import { stateWords } from './wording';

/** What the section can ask for. */
export interface ISectionActions extends IRowActions {
  readonly open: (name: string) => void;
  readonly stop: (name: string) => void;
  readonly dismiss: (name: string) => void;
  readonly stopAll: () => void;
  readonly explain: (name: string) => void;
}

/**
 * The section Applications of the Running sidebar.
 */
export class RunningApplications implements IRunningSessions.IManager {
  constructor(options: {
    model: IApplications;
    actions: ISectionActions;
    icon: (app: IApp) => LabIcon;
    trans: TranslationBundle;
  }) {
    const { model, trans } = options;
    this._options = options;
    this.name = trans.__('Applications');
    this.shutdownAllLabel = trans.__('Stop All');
    this.shutdownAllConfirmationText = trans.__(
      'Stop all applications? Each is asked to save first; work they do not save by themselves is lost.'
    );
    model.changed.connect(() => {
      this._changed.emit();
    }, this);
    model.disposed.connect(() => {
      Signal.clearData(this);
    }, this);
  }

  readonly name: string;
  readonly shutdownAllLabel: string;
  readonly shutdownAllConfirmationText: string;
  readonly supportsMultipleViews = false;

  get runningChanged(): ISignal<this, void> {
    return this._changed;
  }

  running(): IRunningSessions.IRunningItem[] {
    const apps = this._options.model.snapshot?.apps ?? [];
    return apps.filter(isListed).map(app => this._item(app));
  }

  shutdownLabel = (item: IRunningSessions.IRunningItem): string => {
    const { trans } = this._options;
    const app = this._options.model.find(item.context?.replace(CONTEXT, '') ?? '');
    switch (app?.state) {
      case 'failed':
        return trans.__('Remove %1 from this list', app.title);
      case 'starting':
        return trans.__('Cancel the start of %1', app.title);
      default:
        return trans.__('Stop %1', app?.title ?? '');
    }
  };

  shutdownAll(): void {
    for (const app of this._options.model.snapshot?.apps ?? []) {
      if (app.state === 'failed') {
        this._options.actions.dismiss(app.name);
      }
    }
    this._options.actions.stopAll();
  }

  refreshRunning(): void {
    void this._options.model.refresh();
  }

  private _item(app: IApp): IRunningSessions.IRunningItem {
    const { actions, icon, trans } = this._options;
    const words = stateWords(app, trans);
    const item: IRunningSessions.IRunningItem = {
      className: 'jp-Samepage-runningItem',
      context: `${CONTEXT}${app.name}`,
      icon: () => icon(app),
      label: () => (
        <RunningLabel app={app} actions={actions} trans={trans}>
          {app.title}
          {words}
        </RunningLabel>
      ),
      labelTitle: () => `${app.title}\n${words}`,
      open: () => {
        if (app.state === 'failed') {
          actions.explain(app.name);
        } else {
          actions.open(app.name);
        }
      }
    };
    if (app.state === 'stopping') {
      return item;
    }
    return {
      ...item,
      shutdown: () => {
        if (app.state === 'failed') {
          actions.dismiss(app.name);
        } else {
          actions.stop(app.name);
        }
      }
    };
  }

  private readonly _options: {
    model: IApplications;
    actions: ISectionActions;
    icon: (app: IApp) => LabIcon;
    trans: TranslationBundle;
  };
  private readonly _changed = new Signal<this, void>(this);
}

const CONTEXT = 'samepage-application ';
