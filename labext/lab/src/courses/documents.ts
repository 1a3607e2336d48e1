import type { DocumentRegistry } from '@jupyterlab/docregistry';

import type { ICourse } from '../rest/types';
import { contentsPath, isInCourse } from './paths';

/** What this module needs of an open document. */
export type OpenDocument = Pick<
  DocumentRegistry.Context,
  'path' | 'save' | 'revert' | 'isReady' | 'isDisposed'
> & { readonly model: Pick<DocumentRegistry.IModel, 'dirty' | 'readOnly' | 'collaborative'> };

/**
 * Before a pull: save what the student has edited in the course's folder, so that the pull merges
 * it. Left open unsaved, the next save would offer to overwrite the teacher's change or to lose
 * their own.
 *
 * @returns paths that could not be saved.
 */
export async function saveEdited(
  course: ICourse,
  documents: Iterable<OpenDocument>
): Promise<string[]> {
  const unsaved: string[] = [];
  for (const document of documents) {
    const { model, path } = document;
    if (!document.isReady || !model.dirty || model.readOnly || !isInCourse(course, path)) {
      continue;
    }
    try {
      await document.save();
    } catch {
      unsaved.push(path);
    }
  }
  return unsaved;
}

/**
 * After a pull: show the new version in open tabs. A tab with unsaved edits stays as it is, and so
 * does one whose model is kept in step by a collaboration server.
 *
 * @returns paths that changed on disk under unsaved edits.
 */
export async function reloadClean(
  course: ICourse,
  documents: Iterable<OpenDocument>
): Promise<string[]> {
  const written = new Set<string>();
  for (const change of course.changes) {
    const path = contentsPath(course, change.path);
    if (path !== null && (change.kind === 'new' || change.kind === 'updated')) {
      written.add(path);
    }
  }
  const edited: string[] = [];
  for (const document of documents) {
    const { model, path } = document;
    if (!document.isReady || document.isDisposed || !written.has(path) || model.collaborative) {
      continue;
    }
    if (model.dirty) {
      edited.push(path);
    } else {
      await document.revert();
    }
  }
  return edited;
}
