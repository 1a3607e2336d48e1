import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { coursesIcon } from '../icons';
import { RestClient } from '../rest/client';
import { RestError } from '../rest/error';
import type { ICourses } from '../rest/types';
import { type OpenDocument, reloadClean, saveEdited } from './documents';
import { courseEvents } from './events';
import { CoursesModel } from './model';
import { CourseNotifier } from './notifier';
import { CoursesPanel } from './panel';

/** After the file browser (100) and the running sessions (200). */
const RANK = 250;

/**
 * The Courses panel.
 */
export const courses: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-samepage:courses',
  description:
    'Shows the courses that pull themselves: their state, what changed, and a button to pull now.',
  autoStart: true,
  optional: [
    ILabShell,
    ILayoutRestorer,
    ICommandPalette,
    IDefaultFileBrowser,
    IDocumentManager,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    fileBrowser: IDefaultFileBrowser | null,
    documentManager: IDocumentManager | null,
    translator: ITranslator | null
  ): void => {
    if (!labShell) {
      // Notebook 7 has no sidebar beside its file list to put a panel in.
      return;
    }
    const { commands } = app;
    const trans = (translator ?? nullTranslator).load('jupyter_samepage');
    const model = new CoursesModel(new RestClient(app.serviceManager.serverSettings));
    const show = (): void => {
      void commands.execute(CommandIDs.showCourses);
    };
    const notifier = new CourseNotifier({ trans, show });

    const openDocuments = (): Set<OpenDocument> => {
      const found = new Set<OpenDocument>();
      for (const widget of labShell.widgets('main')) {
        const context = documentManager?.contextForWidget(widget);
        if (context) {
          found.add(context);
        }
      }
      return found;
    };

    const pull = async (id: string): Promise<void> => {
      const course = model.find(id);
      if (course) {
        const unsaved = await saveEdited(course, openDocuments());
        if (unsaved.length > 0) {
          notifier.unsaved(unsaved);
        }
      }
      try {
        await model.pull(id);
      } catch (reason) {
        const error = reason instanceof RestError ? reason : null;
        notifier.refused(course?.title ?? id, error?.message ?? String(reason));
      }
    };

    commands.addCommand(CommandIDs.showCourses, {
      label: trans.__('Show Courses'),
      caption: trans.__('Show the courses that pull themselves into your files'),
      icon: coursesIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        labShell.activateById(panel.id);
      }
    });
    commands.addCommand(CommandIDs.pullCourse, {
      label: args => {
        const course = typeof args['id'] === 'string' ? model.find(args['id']) : null;
        return course ? trans.__('Pull %1 Now', course.title) : trans.__('Pull All Courses Now');
      },
      caption: trans.__('Fetch what the teacher has changed'),
      describedBy: {
        args: {
          type: 'object',
          properties: {
            id: { type: 'string', description: 'The course; every course without it' }
          }
        }
      },
      execute: async args => {
        const all = model.snapshot?.courses.map(course => course.id) ?? [];
        const ids = typeof args['id'] === 'string' ? [args['id']] : all;
        await Promise.all(ids.map(pull));
      }
    });
    const category = trans.__('Courses');
    palette?.addItem({ command: CommandIDs.showCourses, category });
    palette?.addItem({ command: CommandIDs.pullCourse, category });

    const panel = new CoursesPanel({
      model,
      trans,
      actions: {
        pull: id => {
          void commands.execute(CommandIDs.pullCourse, { id });
        },
        openFile: path => {
          void commands.execute('docmanager:open', { path });
        },
        openFolder: path => {
          void commands.execute('filebrowser:go-to-path', { path });
        }
      }
    });
    labShell.add(panel, 'left', { rank: RANK, type: 'Courses' });
    restorer?.add(panel, panel.id);

    let before: ICourses | null = null;
    model.changed.connect(() => {
      const after = model.snapshot;
      if (!after) {
        return;
      }
      const events = courseEvents(before, after);
      before = after;
      for (const event of events) {
        notifier.handle(event);
        if (event.kind === 'delivered') {
          void fileBrowser?.model.refresh();
          void reloadClean(event.course, openDocuments()).then(edited => {
            if (edited.length > 0) {
              notifier.edited(edited);
            }
          });
        }
      }
    }, panel);
    panel.disposed.connect(() => {
      model.dispose();
    });
  }
};
