import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget } from '@jupyterlab/apputils';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { RestClient } from '../rest/client';
import { RestError } from '../rest/error';
import type { ICourse, ICourses } from '../rest/types';
import { CourseActions } from './actions';
import { addCourseCommands } from './coursecommands';
import { CompareView, compareId } from './compare/view';
import { OpenDocuments } from './opendocuments';
import { courseEvents } from './events';
import { CoursesModel } from './model';
import { NewsModel } from './news';
import { CourseNotifier } from './notifier';
import { CoursesPanel } from './panel';
import { contentsPath, isInCourse } from './paths';
import { UnsavedReporter } from './unsaved';

/** After the file browser (100) and the running sessions (200). */
const RANK = 250;

/**
 * The Courses panel.
 */
export const courses: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-samepage:courses',
  description:
    'Shows the courses that pull themselves: their state, what is new, and what can be done with it.',
  autoStart: true,
  optional: [
    ILabShell,
    ILayoutRestorer,
    ICommandPalette,
    IDefaultFileBrowser,
    IDocumentManager,
    IEditorLanguageRegistry,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    fileBrowser: IDefaultFileBrowser | null,
    documentManager: IDocumentManager | null,
    languages: IEditorLanguageRegistry | null,
    translator: ITranslator | null
  ): void => {
    if (!labShell) {
      // Notebook 7 has no sidebar beside its file list to put a panel in.
      return;
    }
    const { commands } = app;
    const trans = (translator ?? nullTranslator).load('jupyter_samepage');
    const client = new RestClient(app.serviceManager.serverSettings);
    const documents = new OpenDocuments(labShell, documentManager, app.serviceManager.contents);
    const model = new CoursesModel(client, courses => documents.anyOf(courses));
    const news = new NewsModel(client);
    const notifier = new CourseNotifier({
      trans,
      show: () => {
        void commands.execute(CommandIDs.showCourses);
      }
    });
    const unsaved = new UnsavedReporter({
      client,
      courses: () => model.snapshot?.courses ?? [],
      documents: () => documents.all()
    });

    const save = async (course: ICourse): Promise<string[]> => {
      const failed = await documents.save(course);
      await unsaved.flush();
      return failed;
    };
    const merge = async (course: ICourse, document: DocumentRegistry.Context): Promise<void> => {
      await documents.merge(course, document, client);
      notifier.merged(document.path);
    };
    const reload = async (course: ICourse): Promise<void> => {
      void fileBrowser?.model.refresh();
      for (const document of await documents.reload(course)) {
        notifier.edited(document.path, () => {
          void merge(course, document)
            .then(() => news.refresh(course.id))
            .catch((reason: unknown) => {
              notifier.refused(document.path, String(reason));
            });
        });
      }
      for (const view of comparisons) {
        void view.refresh();
      }
    };
    const open = (path: string): void => {
      void commands.execute('docmanager:open', { path });
    };
    const actions = new CourseActions({ trans, client, news, save, reload, open });

    const pull = async (id: string): Promise<void> => {
      const course = model.find(id);
      if (course) {
        const failed = await save(course);
        if (failed.length > 0) {
          notifier.unsaved(failed);
        }
      }
      try {
        await model.pull(id);
      } catch (reason) {
        const error = reason instanceof RestError ? reason : null;
        notifier.refused(course?.title ?? id, error?.message ?? String(reason));
      }
    };

    const comparisons = new Set<CompareView>();
    const compare = (course: ICourse, path: string): void => {
      const id = compareId(course.id, path);
      if ([...comparisons].some(view => view.id === id)) {
        labShell.activateById(`${id}:tab`);
        return;
      }
      const place = contentsPath(course, path);
      const content = new CompareView({
        course,
        path,
        trans,
        languages,
        read: () => client.versions(course.id, path),
        actions: {
          open: () => {
            if (place !== null) {
              open(place);
            }
          },
          take: () => void actions.take(course, path),
          copy: () => void actions.copy(course, path),
          takeCell: (versions, row) => void actions.takeCell(course, versions, row)
        }
      });
      comparisons.add(content);
      content.disposed.connect(() => {
        comparisons.delete(content);
      });
      const widget = new MainAreaWidget({ content });
      widget.id = `${id}:tab`;
      labShell.add(widget, 'main', { type: 'Compare' });
      labShell.activateById(widget.id);
      void news.markSeen(course.id, [path]).catch(() => undefined);
    };

    addCourseCommands({
      app,
      labShell,
      palette,
      trans,
      model,
      news,
      actions,
      pull,
      compare,
      open: (course, path) => {
        const place = contentsPath(course, path);
        if (place !== null) {
          open(place);
        }
        void news.markSeen(course.id, [path]).catch(() => undefined);
      },
      current: () => documents.current(),
      show: () => {
        labShell.activateById(panel.id);
      }
    });

    const run = (command: string, args: Record<string, string | boolean>): void => {
      void commands.execute(command, args);
    };
    const panel = new CoursesPanel({
      model,
      news,
      trans,
      actions: {
        pull: id => {
          run(CommandIDs.pullCourse, { id });
        },
        open: (id, path) => {
          run(CommandIDs.openNews, { id, path });
        },
        compare: (id, path) => {
          run(CommandIDs.compareFile, { id, path });
        },
        take: (id, path) => {
          run(CommandIDs.takeFile, { id, path });
        },
        copy: (id, path) => {
          run(CommandIDs.copyFile, { id, path });
        },
        undo: (id, pulled, again) => {
          run(again ? CommandIDs.redoPull : CommandIDs.undoPull, { id, pull: pulled });
        },
        markSeen: id => {
          run(CommandIDs.markSeen, { id });
        },
        openFolder: path => {
          run('filebrowser:go-to-path', { path });
        }
      }
    });
    labShell.add(panel, 'left', { rank: RANK, type: 'Courses' });
    restorer?.add(panel, panel.id);
    news.changed.connect(() => {
      const { unseen } = news;
      panel.title.caption =
        unseen > 0
          ? trans._n('Courses: one new file', 'Courses: %1 new files', unseen)
          : trans.__('Courses');
      panel.title.className = unseen > 0 ? 'jp-Samepage-mod-unseen' : '';
    });

    const follow = (): void => {
      unsaved.follow();
      model.follow();
      documents.follow(
        path => model.snapshot?.courses.find(course => isInCourse(course, path)),
        merge
      );
    };
    labShell.layoutModified.connect(follow);
    const shown = (): void => {
      // Looking rests while the page is hidden.
      if (!document.hidden && documents.anyOf(model.snapshot?.courses ?? [])) {
        void model.refresh();
      }
    };
    document.addEventListener('visibilitychange', shown);
    const leave = (): void => {
      unsaved.leave();
    };
    window.addEventListener('pagehide', leave);
    let before: ICourses | null = null;
    model.changed.connect(() => {
      const after = model.snapshot;
      if (!after) {
        return;
      }
      const events = courseEvents(before, after);
      const first = before === null;
      before = after;
      if (first) {
        follow();
      }
      void news.follow(after);
      for (const course of after.courses) {
        if (course.state !== 'pulling') {
          notifier.waiting(course, documents.waiting(course), () => {
            void pull(course.id);
          });
        }
      }
      for (const event of events) {
        notifier.handle(event);
        if (event.kind === 'delivered') {
          void reload(event.course);
        }
      }
    }, panel);
    panel.disposed.connect(() => {
      model.dispose();
      unsaved.dispose();
      window.removeEventListener('pagehide', leave);
      document.removeEventListener('visibilitychange', shown);
    });
  }
};
