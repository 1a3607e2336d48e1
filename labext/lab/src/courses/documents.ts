import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { Contents } from '@jupyterlab/services';

import type { ICourse } from '../rest/types';
import { isInCourse } from './paths';

/** What this module needs of an open document. */
export type OpenDocument = Pick<
  DocumentRegistry.Context,
  'path' | 'save' | 'revert' | 'isReady' | 'isDisposed' | 'contentsModel'
> & {
  readonly model: Pick<
    DocumentRegistry.IModel,
    'dirty' | 'readOnly' | 'collaborative' | 'toString'
  >;
};

/** What the server says of a file, without its content. */
export type Look = (path: string) => Promise<Pick<Contents.IModel, 'last_modified'>>;

/**
 * Before a pull: save what the student has edited in the course's folder, so that the pull merges
 * it. Left open unsaved, the next save would offer to overwrite the teacher's change or to lose
 * their own.
 *
 * @returns paths that could not be saved.
 */
export async function saveEdited(
  course: Pick<ICourse, 'target'>,
  documents: Iterable<OpenDocument>
): Promise<string[]> {
  const unsaved: string[] = [];
  for (const document of unsavedIn(course, documents)) {
    try {
      await document.save();
    } catch {
      unsaved.push(document.path);
    }
  }
  return unsaved;
}

/** Documents of a course with unsaved edits of this tab. */
export function unsavedIn<T extends OpenDocument>(
  course: Pick<ICourse, 'target'>,
  documents: Iterable<T>
): T[] {
  return [...documents].filter(
    ({ isReady, isDisposed, model, path }) =>
      isReady && !isDisposed && model.dirty && !model.readOnly && isInCourse(course, path)
  );
}

/**
 * After a pull: show the new version in open tabs. A tab with unsaved edits stays as it is, and so
 * does one whose model is kept in step by a collaboration server.
 *
 * @param reload - how one is shown anew.
 * @returns those that changed on disk under unsaved edits.
 */
export async function reloadClean<T extends OpenDocument>(
  course: Pick<ICourse, 'target'>,
  documents: Iterable<T>,
  look: Look,
  reload: (document: T) => Promise<void> = document => document.revert()
): Promise<T[]> {
  const edited: T[] = [];
  for (const document of documents) {
    const { model, path } = document;
    if (!document.isReady || document.isDisposed || model.collaborative) {
      continue;
    }
    if (!isInCourse(course, path) || !(await isOlder(document, look))) {
      continue;
    }
    if (model.dirty) {
      edited.push(document);
    } else {
      await reload(document);
    }
  }
  return edited;
}

/** Whether the file on disk is another one than the document shows. */
export async function isOlder(document: OpenDocument, look: Look): Promise<boolean> {
  const known = document.contentsModel?.last_modified;
  try {
    const { last_modified } = await look(document.path);
    return known !== undefined && Date.parse(last_modified) > Date.parse(known);
  } catch {
    return false; // the course deleted it: what is open stays open
  }
}
