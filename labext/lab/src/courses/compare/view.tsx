import { ReactWidget } from '@jupyterlab/apputils';
import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { compareIcon } from '../../icons';
import { errorWords } from '../../rest/error';
import type { ICellVersion, ICourse, IVersions } from '../../rest/types';
import { type ICellPair, pieces, type Which } from './rows';
import { Texts } from './texts';

/** What the comparison needs of the rest. */
export interface ICompareOptions {
  readonly course: Pick<ICourse, 'id' | 'title'>;
  readonly path: string;
  readonly trans: TranslationBundle;
  readonly languages: IEditorLanguageRegistry | null;
  readonly read: () => Promise<IVersions>;
  readonly actions: ICompareActions;
}

export interface ICompareActions {
  open(): void;
  take(): void;
  copy(): void;
  takeCell(versions: IVersions, row: number): void;
}

/**
 * The versions of a file of a course, two at a time, side by side.
 */
export class CompareView extends ReactWidget {
  constructor(options: ICompareOptions) {
    super();
    this._options = options;
    const { trans, path, course } = options;
    this.id = compareId(course.id, path);
    this.addClass('jp-Samepage-compare');
    this.title.label = trans.__('Compare: %1', path.split('/').pop() ?? path);
    this.title.caption = trans.__('%1 in %2: yours and the teacher’s', path, course.title);
    this.title.icon = compareIcon;
    this.title.closable = true;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this.title.caption);
    this.node.tabIndex = -1;
  }

  /** Read the versions again. */
  async refresh(): Promise<void> {
    const { trans } = this._options;
    try {
      this._state = { versions: await this._options.read(), error: null };
    } catch (reason) {
      this._state = {
        versions: null,
        error: errorWords(trans.__('The versions could not be read'), reason)
      };
    }
    if (!this.isDisposed) {
      this._changed.emit();
    }
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    void this.refresh();
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    this.node.focus();
  }

  protected override render(): React.JSX.Element {
    return (
      <UseSignal signal={this._changed}>
        {() => <Compare {...this._options} {...this._state} />}
      </UseSignal>
    );
  }

  private readonly _options: ICompareOptions;
  private _state: IState = { versions: null, error: null };
  private readonly _changed = new Signal<this, void>(this);
}

/** The widget of a comparison. */
export function compareId(course: string, path: string): string {
  return `jupyter-samepage-compare:${course}:${path}`;
}

interface IState {
  versions: IVersions | null;
  error: string | null;
}

function Compare(props: ICompareOptions & IState): React.JSX.Element {
  const { versions, error, trans, path, course } = props;
  const [left, setLeft] = React.useState<Which>('yours');
  const [right, setRight] = React.useState<Which>('teachers');
  return (
    <>
      <header className="jp-Samepage-compareHeader">
        <div className="jp-Samepage-compareName">
          <h2>{path}</h2>
          <span className="jp-Samepage-quiet">{course.title}</span>
        </div>
        <div
          className="jp-Samepage-courseActions"
          role="toolbar"
          aria-label={trans.__('Actions for %1', path)}
        >
          <Button label={trans.__('Open')} onClick={props.actions.open} />
          {versions?.teachers ? (
            <>
              <Button
                label={trans.__('Take the teacher’s version…')}
                onClick={props.actions.take}
              />
              <Button label={trans.__('Fresh copy')} onClick={props.actions.copy} />
            </>
          ) : null}
        </div>
      </header>
      <div className="jp-Samepage-compareSides">
        <Choice label={trans.__('Left')} value={left} onChange={setLeft} trans={trans} />
        <Choice label={trans.__('Right')} value={right} onChange={setRight} trans={trans} />
      </div>
      <div role="status" className="jp-Samepage-compareState">
        {error ?? (versions === null ? trans.__('Reading the versions…') : null)}
      </div>
      {versions === null ? null : <Body {...props} versions={versions} left={left} right={right} />}
    </>
  );
}

interface IBody extends ICompareOptions {
  readonly versions: IVersions;
  readonly left: Which;
  readonly right: Which;
}

function Body(props: IBody): React.JSX.Element {
  const { versions, left, right, trans, languages, path } = props;
  if (versions.form === 'notebook' && versions.rows) {
    return <Cells {...props} />;
  }
  const missing = [left, right].filter(which => versions[which] === null);
  const note = missing.length > 0 ? absentWords(missing, trans) : null;
  if (versions.form !== 'text') {
    return (
      <p className="jp-Samepage-compareNote">
        {formWords(versions, trans)} {note}
      </p>
    );
  }
  const same = versions[left]?.text === versions[right]?.text;
  return (
    <>
      {note ? <p className="jp-Samepage-compareNote">{note}</p> : null}
      {same ? <p className="jp-Samepage-compareNote">{trans.__('Both are the same.')}</p> : null}
      <Texts
        left={{ name: whichWords(left, trans), text: versions[left]?.text ?? '' }}
        right={{ name: whichWords(right, trans), text: versions[right]?.text ?? '' }}
        language={path}
        languages={languages}
        folded={!same}
      />
    </>
  );
}

function Cells(props: IBody): React.JSX.Element {
  const { versions, left, right, trans } = props;
  const found = pieces(versions.rows ?? [], left, right);
  const missing = [left, right].filter(which => versions[which] === null);
  const same = found.every(piece => piece.kind === 'same');
  return (
    <div className="jp-Samepage-cells">
      {missing.length > 0 ? (
        <p className="jp-Samepage-compareNote">{absentWords(missing, trans)}</p>
      ) : null}
      {same ? (
        <p className="jp-Samepage-compareNote">{trans.__('All cells are the same.')}</p>
      ) : null}
      {found.map(piece =>
        piece.kind === 'same' ? (
          <details key={piece.cells[0]?.number} className="jp-Samepage-sameCells">
            <summary>
              {trans._n('One cell is the same', '%1 cells are the same', piece.cells.length)}
            </summary>
            {piece.cells.map(cell => (
              <pre key={cell.number}>{cell.left?.source}</pre>
            ))}
          </details>
        ) : (
          <Cell key={piece.cell.number} {...props} cell={piece.cell} />
        )
      )}
    </div>
  );
}

function Cell(props: IBody & { cell: ICellPair }): React.JSX.Element {
  const { cell, versions, left, right, trans, languages, actions } = props;
  const words = cellWords(cell, left, right, trans);
  const number = cell.number + 1;
  const type = (cell.left ?? cell.right)?.type ?? 'code';
  return (
    <section className="jp-Samepage-cell" aria-label={trans.__('Cell %1: %2', number, words)}>
      <div className="jp-Samepage-cellHead">
        <span>
          <strong>{trans.__('Cell %1', number)}</strong> {words}
        </span>
        {cell.canTake && cell.status !== 'note' ? (
          <Button
            label={trans.__('Use the teacher’s cell…')}
            name={trans.__('Use the teacher’s version of cell %1…', number)}
            onClick={() => {
              actions.takeCell(versions, cell.number);
            }}
          />
        ) : null}
      </div>
      <Texts
        left={named(cell.left, left, trans)}
        right={named(cell.right, right, trans)}
        language={type === 'code' ? 'text/x-python' : 'text/x-ipythongfm'}
        languages={languages}
        folded={false}
      />
    </section>
  );
}

function named(
  cell: ICellVersion | null,
  which: Which,
  trans: TranslationBundle
): { name: string; text: string } {
  return { name: whichWords(which, trans), text: cell?.source ?? '' };
}

function Choice(props: {
  label: string;
  value: Which;
  onChange: (which: Which) => void;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { trans } = props;
  return (
    <HTMLSelect
      className="jp-Samepage-side"
      aria-label={props.label}
      value={props.value}
      onChange={event => {
        props.onChange(event.target.value as Which);
      }}
    >
      {(['yours', 'teachers', 'base'] as const).map(which => (
        <option key={which} value={which}>
          {whichWords(which, trans)}
        </option>
      ))}
    </HTMLSelect>
  );
}

function Button(props: { label: string; name?: string; onClick: () => void }): React.JSX.Element {
  return (
    <button
      type="button"
      className="jp-Samepage-button"
      aria-label={props.name ?? props.label}
      onClick={() => {
        props.onClick();
      }}
    >
      {props.label}
    </button>
  );
}

function whichWords(which: Which, trans: TranslationBundle): string {
  switch (which) {
    case 'yours':
      return trans.__('Yours');
    case 'teachers':
      return trans.__('The teacher’s');
    case 'base':
      return trans.__('Before both changes');
  }
}

function absentWords(missing: readonly Which[], trans: TranslationBundle): string {
  return missing
    .map(which => {
      switch (which) {
        case 'yours':
          return trans.__('You have no such file.');
        case 'teachers':
          return trans.__('The course has no such file now.');
        case 'base':
          return trans.__('There was no such file before.');
      }
    })
    .join(' ');
}

function cellWords(cell: ICellPair, left: Which, right: Which, trans: TranslationBundle): string {
  if (cell.status === 'note') {
    return trans.__('put in by the pull, with the teacher’s version of the cell above');
  }
  if (cell.left === null) {
    return trans.__('only in: %1', whichWords(right, trans));
  }
  return cell.right === null
    ? trans.__('only in: %1', whichWords(left, trans))
    : trans.__('differs');
}

function formWords(versions: IVersions, trans: TranslationBundle): string {
  switch (versions.form) {
    case 'binary':
      return trans.__('This is no text: its versions cannot be shown side by side.');
    case 'too_large':
      return trans.__('This file is too large to be compared here.');
    case 'link':
      return trans.__('This is a link to another file.');
    default:
      return trans.__('This is no ordinary file.');
  }
}
