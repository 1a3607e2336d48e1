import type { ILabShell } from '@jupyterlab/application';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { Contents } from '@jupyterlab/services';

import type { RestClient } from '../rest/client';
import type { ICourse } from '../rest/types';
import { reloadClean, saveEdited } from './documents';
import { contentsPath } from './paths';
import { remember } from './position';

/**
 * The documents that are open in the main area.
 */
export class OpenDocuments {
  constructor(
    shell: ILabShell,
    manager: IDocumentManager | null,
    contents: Pick<Contents.IManager, 'get'>
  ) {
    this._shell = shell;
    this._manager = manager;
    this._contents = contents;
  }

  /** Each document once, however many views it has. */
  all(): Set<DocumentRegistry.Context> {
    const found = new Set<DocumentRegistry.Context>();
    for (const widget of this._shell.widgets('main')) {
      const context = this._manager?.contextForWidget(widget);
      if (context) {
        found.add(context);
      }
    }
    return found;
  }

  /** The path of the document that is looked at; null when there is none. */
  current(): string | null {
    const widget = this._shell.currentWidget;
    return (widget && this._manager?.contextForWidget(widget)?.path) ?? null;
  }

  /** Save what was edited in a course; paths that could not be saved. */
  save(course: ICourse): Promise<string[]> {
    return saveEdited(course, this.all());
  }

  /** Files of a course whose update waits because of unsaved edits in this tab. */
  waiting(course: ICourse): string[] {
    const dirty = new Set(
      [...this.all()].filter(({ model }) => model.dirty).map(({ path }) => path)
    );
    return course.waiting
      .map(path => contentsPath(course, path))
      .filter((path): path is string => path !== null && dirty.has(path));
  }

  /** Show anew what has changed on disk; those with unsaved edits that have. */
  reload(course: ICourse): Promise<DocumentRegistry.Context[]> {
    return reloadClean(
      course,
      this.all(),
      path => this._contents.get(path, { content: false }),
      document => this._revert(document)
    );
  }

  /** Merge the unsaved edits of a document into the file that a pull changed under them. */
  async merge(
    course: ICourse,
    document: DocumentRegistry.Context,
    client: Pick<RestClient, 'mergeUnsaved'>
  ): Promise<void> {
    const top = contentsPath(course, '') ?? '';
    const path = document.path.slice(top.replace(/\/$/, '').length + 1);
    await client.mergeUnsaved(course.id, path, document.model.toString());
    await this._revert(document);
  }

  private async _revert(document: DocumentRegistry.Context): Promise<void> {
    const places = [...this._shell.widgets('main')]
      .filter(widget => this._manager?.contextForWidget(widget) === document)
      .map(remember);
    await document.revert();
    for (const back of places) {
      back();
    }
  }

  private readonly _shell: ILabShell;
  private readonly _manager: IDocumentManager | null;
  private readonly _contents: Pick<Contents.IManager, 'get'>;
}
