import type { NotebookPanel } from '@jupyterlab/notebook';

/** What a pull writes into the cell that shows the course's version of another. */
export const TAG = 'samepage-course-version';

type SharedNotebook = NonNullable<NotebookPanel['model']>['sharedModel'];

/** The course's version of a cell. */
export interface ICourseNote {
  readonly type: 'code' | 'markdown' | 'raw';
  readonly source: string;
  /** The id of the student's cell; null when it has none. */
  readonly of: string | null;
}

/** What a cell's metadata say; null for any other cell. Pure. */
export function courseNote(metadata: Readonly<Record<string, unknown>>): ICourseNote | null {
  const tags = metadata['tags'];
  const details = metadata['samepage'];
  if (!Array.isArray(tags) || !tags.includes(TAG) || typeof details !== 'object' || !details) {
    return null;
  }
  const { cell_type: type, source, of } = details as Record<string, unknown>;
  if (typeof source !== 'string' || (type !== 'code' && type !== 'markdown' && type !== 'raw')) {
    return null;
  }
  return { type, source, of: typeof of === 'string' ? of : null };
}

/**
 * The cell that a note is about: the one it names, or else the one above. Pure.
 *
 * @returns its place; -1 when there is none.
 */
export function subjectOf(ids: readonly string[], place: number, note: ICourseNote): number {
  const named = note.of === null ? -1 : ids.indexOf(note.of);
  return named >= 0 ? named : place - 1;
}

/**
 * Put the course's version in place of the student's cell, and take the note away, as one step that
 * can be undone.
 *
 * @returns the place of the new cell; -1 when the cell is gone and nothing was done.
 */
export function useCourseVersion(notebook: SharedNotebook, place: number): number {
  const noteCell = notebook.getCell(place);
  const note = courseNote(noteCell.getMetadata());
  const ids = notebook.cells.map(cell => cell.getId());
  const subject = note ? subjectOf(ids, place, note) : -1;
  if (!note || subject < 0 || subject === place) {
    return -1;
  }
  const old = notebook.getCell(subject).toJSON();
  const fresh = {
    id: notebook.getCell(subject).getId(),
    cell_type: note.type,
    metadata: old.metadata,
    source: note.source,
    ...(note.type === 'code' ? { outputs: [], execution_count: null } : {})
  };
  notebook.transact(() => {
    for (const gone of [place, subject].sort((one, other) => other - one)) {
      notebook.deleteCell(gone);
    }
    notebook.insertCell(subject < place ? subject : subject - 1, fresh);
  });
  return subject < place ? subject : subject - 1;
}

/** Take a note away, as one step that can be undone. */
export function removeNote(notebook: SharedNotebook, place: number): void {
  notebook.transact(() => {
    notebook.deleteCell(place);
  });
}
