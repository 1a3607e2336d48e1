import type { ILabShell } from '@jupyterlab/application';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { Contents } from '@jupyterlab/services';

import type { RestClient } from '../rest/client';
import { RestError } from '../rest/error';
import type { ICourse } from '../rest/types';
import { isOlder, reloadClean, saveEdited } from './documents';
import { textsOf } from './inplace';
import { contentsPath, isInCourse } from './paths';
import { remember } from './position';
import { reload } from './reload';
import { guard } from './saving';

/** A pull takes some seconds; while it runs the server merges nothing. */
const PATIENCE_MS = 20_000;
const AGAIN_MS = 500;

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
      document => this._reload(document)
    );
  }

  /** Whether a document of one of these courses is open. */
  anyOf(courses: readonly ICourse[]): boolean {
    return [...this.all()].some(({ path }) => courses.some(course => isInCourse(course, path)));
  }

  /** Merge the unsaved edits of a document into the file that a pull changed under them. */
  async merge(
    course: ICourse,
    document: DocumentRegistry.Context,
    client: Pick<RestClient, 'mergeUnsaved'>
  ): Promise<void> {
    const top = contentsPath(course, '') ?? '';
    const path = document.path.slice(top.replace(/\/$/, '').length + 1);
    await whenPulled(async () => {
      const before = textsOf(document.model);
      const { contentsModel } = document;
      const known = contentsModel?.hash_algorithm === 'sha256' ? contentsModel.hash : null;
      await client.mergeUnsaved(course.id, path, document.model.toString(), known ?? null);
      await this._reload(document, before);
    });
  }

  /**
   * From now on, what a pull changed under an open document is merged before the document is
   * saved. JupyterLab would ask whether to overwrite the one or to lose the other.
   */
  follow(
    find: (path: string) => ICourse | undefined,
    merge: (course: ICourse, document: DocumentRegistry.Context) => Promise<void>
  ): void {
    const look = (path: string): Promise<Contents.IModel> =>
      this._contents.get(path, { content: false });
    for (const document of this.all()) {
      guard(document, async () => {
        const course = find(document.path);
        if (course && !document.model.collaborative && (await isOlder(document, look))) {
          await merge(course, document);
        }
      });
    }
  }

  private async _reload(
    document: DocumentRegistry.Context,
    before = textsOf(document.model)
  ): Promise<void> {
    await reload(document, before, () => {
      const places = [...this._shell.widgets('main')]
        .filter(widget => this._manager?.contextForWidget(widget) === document)
        .map(remember);
      return () => {
        for (const back of places) {
          back();
        }
      };
    });
  }

  private readonly _shell: ILabShell;
  private readonly _manager: IDocumentManager | null;
  private readonly _contents: Pick<Contents.IManager, 'get'>;
}

async function whenPulled(act: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      await act();
      return;
    } catch (reason) {
      if (!(reason instanceof RestError) || reason.code !== 'pulling' || Date.now() > deadline) {
        throw reason;
      }
    }
    await new Promise(resolve => setTimeout(resolve, AGAIN_MS));
  }
}
