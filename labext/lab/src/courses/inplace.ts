import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { JSONExt, type JSONValue } from '@lumino/coreutils';

import { carryOver, edits } from './carryover';

type Notebook = NonNullable<NotebookPanel['model']>['sharedModel'];
type Cell = Notebook['cells'][number];
type FreshCell = ReturnType<Notebook['toJSON']>['cells'][number];

type CodeCell = Extract<Cell, { setOutputs: unknown }>;

interface ICodeCell {
  readonly outputs: ReturnType<CodeCell['getOutputs']>;
  readonly execution_count: CodeCell['execution_count'];
}

interface ISharedText {
  getSource(): string;
  updateSource(start: number, end: number, value?: string): void;
  transact(change: () => void, undoable?: boolean): void;
}

/** Texts that somebody can type into, by cell; a text file is one of them. */
export type Texts = ReadonlyMap<string, string>;

const WHOLE = '';

/** What a document says now. */
export function textsOf(model: DocumentRegistry.IModel): Texts {
  const notebook = notebookOf(model);
  return notebook
    ? new Map(notebook.cells.map(cell => [cell.getId(), cell.getSource()]))
    : new Map([[WHOLE, model.toString()]]);
}

/** Whether two of them are equal. */
export function sameTexts(one: Texts, other: Texts): boolean {
  return one.size === other.size && [...one].every(([id, text]) => other.get(id) === text);
}

/**
 * Change an open document into what is on disk, only where it differs: cursors, the focus, outputs
 * and what is folded stay. What was typed since `before` is carried over.
 *
 * @param fresh - the content as the server gives it: a text, or the JSON of a notebook.
 * @returns whether that was possible; if not, nothing was done.
 */
export function updateInPlace(
  model: DocumentRegistry.IModel,
  before: Texts,
  fresh: unknown
): boolean {
  const notebook = notebookOf(model);
  if (notebook) {
    return updateNotebook(notebook, before, fresh);
  }
  const text: unknown = model.sharedModel;
  if (typeof fresh !== 'string' || !isText(text)) {
    return false;
  }
  text.transact(() => {
    update(text, before.get(WHOLE), fresh);
  }, false);
  return true;
}

function updateNotebook(notebook: Notebook, before: Texts, fresh: unknown): boolean {
  const content = fresh as ReturnType<Notebook['toJSON']>;
  const wanted = new Map<string, FreshCell>();
  for (const cell of content.cells) {
    if (typeof cell.id === 'string') {
      wanted.set(cell.id, cell);
    }
  }
  const there = new Set(notebook.cells.map(cell => cell.getId()));
  const stay = [...there].filter(id => wanted.has(id));
  const order = [...wanted.keys()].filter(id => there.has(id));
  // Without ids, or in another order, no cell can be told from another.
  if (wanted.size === 0 || wanted.size !== content.cells.length) {
    return false;
  }
  if (stay.join('\n') !== order.join('\n') || !sameTypes(notebook.cells, wanted)) {
    return false;
  }
  // Not undoable: Ctrl-Z is for what the student did.
  notebook.transact(() => {
    for (let place = notebook.cells.length - 1; place >= 0; place--) {
      const id = notebook.getCell(place).getId();
      if (!wanted.has(id) && before.has(id)) {
        notebook.deleteCell(place);
      }
    }
    let place = 0;
    for (const [id, cell] of wanted) {
      // Cells that the student made just now stay where they are.
      while (place < notebook.cells.length && !wanted.has(notebook.getCell(place).getId())) {
        place += 1;
      }
      const mine = place < notebook.cells.length ? notebook.getCell(place) : null;
      if (mine?.getId() === id) {
        updateCell(mine, cell, before.get(id));
      } else {
        notebook.insertCell(place, cell);
      }
      place += 1;
    }
    if (!same(notebook.getMetadata(), content.metadata)) {
      notebook.setMetadata(content.metadata);
    }
  }, false);
  return true;
}

function sameTypes(cells: readonly Cell[], wanted: ReadonlyMap<string, FreshCell>): boolean {
  return cells.every(cell => {
    const fresh = wanted.get(cell.getId());
    return fresh === undefined || fresh.cell_type === cell.cell_type;
  });
}

function updateCell(cell: Cell, fresh: FreshCell, before: string | undefined): void {
  const source = Array.isArray(fresh.source) ? fresh.source.join('') : fresh.source;
  update(cell, before, source);
  // "trusted" is of this browser and not in the file.
  const metadata = { ...cell.getMetadata(), trusted: undefined };
  if (!same(metadata, { ...fresh.metadata, trusted: undefined })) {
    cell.setMetadata(fresh.metadata);
  }
  if ('getOutputs' in cell) {
    const { outputs, execution_count: count } = fresh as unknown as ICodeCell;
    if (!same(cell.getOutputs(), outputs)) {
      cell.setOutputs(outputs);
    }
    if (cell.execution_count !== count) {
      cell.execution_count = count;
    }
  }
}

function update(text: ISharedText, before: string | undefined, fresh: string): void {
  const now = text.getSource();
  const wanted = before === undefined ? fresh : carryOver(before, now, fresh);
  for (const { from, to, insert } of edits(now, wanted)) {
    text.updateSource(from, to, insert);
  }
}

function same(one: unknown, other: unknown): boolean {
  const plain = (value: unknown): JSONValue => JSON.parse(JSON.stringify(value)) as JSONValue;
  return JSONExt.deepEqual(plain(one), plain(other));
}

function notebookOf(model: DocumentRegistry.IModel): Notebook | null {
  const shared = model.sharedModel as unknown;
  return typeof shared === 'object' && shared !== null && 'cells' in shared
    ? (shared as Notebook)
    : null;
}

function isText(shared: unknown): shared is ISharedText {
  return typeof shared === 'object' && shared !== null && 'updateSource' in shared;
}
