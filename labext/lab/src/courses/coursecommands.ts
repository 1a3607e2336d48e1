import type { ILabShell, JupyterFrontEnd } from '@jupyterlab/application';
import { type ICommandPalette, InputDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { copyIcon, redoIcon, undoIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { CommandIDs } from '../commands';
import { compareIcon, coursesIcon, takeIcon } from '../icons';
import type { ICourse, INewsItem } from '../rest/types';
import type { CourseActions } from './actions';
import type { CoursesModel } from './model';
import type { NewsModel } from './news';
import { isInCourse } from './paths';

/** What the commands work with. */
export interface ICommandParts {
  readonly app: JupyterFrontEnd;
  readonly labShell: ILabShell;
  readonly palette: ICommandPalette | null;
  readonly trans: TranslationBundle;
  readonly model: CoursesModel;
  readonly news: NewsModel;
  readonly actions: CourseActions;
  readonly pull: (id: string) => Promise<void>;
  readonly compare: (course: ICourse, path: string) => void;
  readonly open: (course: ICourse, path: string) => void;
  readonly current: () => string | null;
  readonly show: () => void;
}

interface IFile {
  readonly course: ICourse;
  readonly path: string;
}

/** A file in the panel's list of news. */
const ROW = '.jp-Samepage-change';

/** The commands of courses; in the palette they are about the document that is looked at. */
export function addCourseCommands(parts: ICommandParts): void {
  const { app, palette, trans, model, news, actions } = parts;
  const { commands } = app;
  const category = trans.__('Courses');

  const fileOf = (args: ReadonlyPartialJSONObject): IFile | null => {
    const { id, path } = args;
    if (typeof id === 'string' && typeof path === 'string') {
      const course = model.find(id);
      return course ? { course, path } : null;
    }
    if (args['row'] === true) {
      const row = app.contextMenuHitTest(node => node.matches(ROW));
      const course = model.find(row?.dataset['samepageCourse'] ?? '');
      const named = row?.dataset['samepagePath'];
      return course && named !== undefined ? { course, path: named } : null;
    }
    return fileOfDocument(parts.current(), model.snapshot?.courses ?? []);
  };
  const aboutFile = (
    id: string,
    options: {
      label: string;
      icon: typeof compareIcon;
      execute: (file: IFile) => void | Promise<void>;
    }
  ): void => {
    commands.addCommand(id, {
      label: options.label,
      icon: options.icon,
      isEnabled: args => fileOf(args) !== null,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            id: { type: 'string', description: 'The course; without it that of the open document' },
            path: { type: 'string', description: 'The file, relative to the course’s folder' },
            row: { type: 'boolean', description: 'The file whose context menu is open' }
          }
        }
      },
      execute: async args => {
        const file = fileOf(args);
        if (file) {
          await options.execute(file);
        }
      }
    });
    app.contextMenu.addItem({ command: id, args: { row: true }, selector: ROW });
  };

  commands.addCommand(CommandIDs.showCourses, {
    label: trans.__('Show Courses'),
    caption: trans.__('Show the courses that pull themselves into your files'),
    icon: coursesIcon,
    describedBy: { args: { type: 'object', properties: {} } },
    execute: parts.show
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
      await Promise.all(ids.map(parts.pull));
    }
  });
  commands.addCommand(CommandIDs.openNews, {
    label: trans.__('Open File of the Course'),
    describedBy: {
      args: { type: 'object', properties: { id: { type: 'string' }, path: { type: 'string' } } }
    },
    isVisible: () => false,
    execute: args => {
      const file = fileOf(args);
      if (file) {
        parts.open(file.course, file.path);
      }
    }
  });
  aboutFile(CommandIDs.compareFile, {
    label: trans.__('Compare with the Teacher’s Version'),
    icon: compareIcon,
    execute: ({ course, path }) => {
      parts.compare(course, path);
    }
  });
  aboutFile(CommandIDs.takeFile, {
    label: trans.__('Take the Teacher’s Version…'),
    icon: takeIcon,
    execute: ({ course, path }) => actions.take(course, path)
  });
  aboutFile(CommandIDs.copyFile, {
    label: trans.__('Get a Fresh Copy of the Teacher’s Version'),
    icon: copyIcon,
    execute: ({ course, path }) => actions.copy(course, path)
  });
  for (const again of [false, true]) {
    commands.addCommand(again ? CommandIDs.redoPull : CommandIDs.undoPull, {
      label: again ? trans.__('Redo the Last Undone Pull') : trans.__('Undo the Last Pull…'),
      icon: again ? redoIcon : undoIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            id: { type: 'string', description: 'The course; without it one is asked for' },
            pull: { type: 'string', description: 'The pull; without it the last one' }
          }
        }
      },
      execute: async args => {
        const courses = model.snapshot?.courses ?? [];
        const course =
          typeof args['id'] === 'string' ? model.find(args['id']) : await choose(courses, trans);
        if (!course) {
          return;
        }
        const named = args['pull'];
        const pull =
          typeof named === 'string' ? named : lastPull(news.of(course.id)?.items ?? [], again);
        if (pull !== null) {
          await actions.undo(course, pull, again);
        }
      }
    });
  }
  commands.addCommand(CommandIDs.markSeen, {
    label: trans.__('Mark All News of Courses as Seen'),
    describedBy: {
      args: {
        type: 'object',
        properties: { id: { type: 'string', description: 'The course; every course without it' } }
      }
    },
    execute: async args => {
      const all = model.snapshot?.courses.map(course => course.id) ?? [];
      const ids = typeof args['id'] === 'string' ? [args['id']] : all;
      await Promise.all(ids.map(id => news.markSeen(id, null)));
    }
  });
  for (const command of [
    CommandIDs.showCourses,
    CommandIDs.pullCourse,
    CommandIDs.compareFile,
    CommandIDs.takeFile,
    CommandIDs.copyFile,
    CommandIDs.undoPull,
    CommandIDs.redoPull,
    CommandIDs.markSeen
  ]) {
    palette?.addItem({ command, category });
  }
}

/** The course of a document, and its path in there; null when it belongs to none. Pure. */
export function fileOfDocument(path: string | null, courses: readonly ICourse[]): IFile | null {
  const course = path === null ? undefined : courses.find(one => isInCourse(one, path));
  if (path === null || !course || course.target === null) {
    return null;
  }
  return { course, path: path.slice(course.target.replace(/\/$/, '').length + 1) };
}

/** The newest pull that can be undone, or whose undoing can; null when there is none. Pure. */
export function lastPull(items: readonly INewsItem[], again: boolean): string | null {
  return (
    items.find(item => item.act === 'pull' && item.id !== null && item.undone === again)?.id ?? null
  );
}

async function choose(
  courses: readonly ICourse[],
  trans: TranslationBundle
): Promise<ICourse | null> {
  if (courses.length < 2) {
    return courses[0] ?? null;
  }
  const answer = await InputDialog.getItem({
    title: trans.__('Which course?'),
    items: courses.map(course => course.title)
  });
  return courses.find(course => course.title === answer.value) ?? null;
}
