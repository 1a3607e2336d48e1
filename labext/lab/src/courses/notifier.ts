import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ICourse } from '../rest/types';
import type { CourseEvent } from './events';

/** A pull shorter than this needs no word while it runs. */
const LONG_MS = 3_000;

/**
 * Tells in notifications what happens to courses: a long pull with its progress, what it brought,
 * and a failure with the way to the panel. Short pulls that bring nothing stay silent.
 */
export class CourseNotifier {
  constructor(options: { trans: TranslationBundle; show: () => void; now?: () => number }) {
    this._trans = options.trans;
    this._show = options.show;
    this._now = options.now ?? Date.now;
  }

  /** Tell what an event needs telling. */
  handle(event: CourseEvent): void {
    const { course } = event;
    const trans = this._trans;
    switch (event.kind) {
      case 'pulling':
        this._pulling(course);
        break;
      case 'delivered':
        if (course.state === 'up_to_date') {
          this._end(course, 'success', this._delivered(course), 8_000);
        }
        break;
      case 'unchanged':
        this._dismiss(course);
        break;
      case 'offline':
        // Yesterday's files are there: the panel says it, and a notification would only disturb.
        this._dismiss(course);
        break;
      case 'failed':
        this._end(course, 'error', trans.__('%1: %2', course.title, course.message), false);
        break;
    }
  }

  /** Say that a file changed on disk under unsaved edits, and offer to merge them. */
  edited(path: string, merge: () => void): void {
    const trans = this._trans;
    this.merged(path);
    const note = Notification.warning(
      trans.__(
        'The course changed %1 while you were editing it. Your edits are not saved yet.',
        path
      ),
      {
        autoClose: false,
        actions: [{ label: trans.__('Merge now'), callback: merge, displayType: 'accent' }]
      }
    );
    this._edited.set(path, note);
  }

  /** Nothing is to be said of this file any more. */
  merged(path: string): void {
    const note = this._edited.get(path);
    if (note !== undefined) {
      this._edited.delete(path);
      Notification.dismiss(note);
    }
  }

  /** Say that an update waits for edits to be saved, once for each set of files. */
  waiting(course: ICourse, paths: readonly string[], merge: () => void): void {
    const trans = this._trans;
    const text = paths.join('\n');
    const old = this._waiting.get(course.id);
    if (old?.text === text) {
      return;
    }
    if (old) {
      Notification.dismiss(old.note);
    }
    this._waiting.delete(course.id);
    if (paths.length === 0) {
      return;
    }
    const note = Notification.info(
      trans._n(
        'An update is ready for %2, which you are editing.',
        'Updates are ready for %1 files that you are editing, such as %2.',
        paths.length,
        paths[0] ?? ''
      ),
      {
        autoClose: false,
        actions: [
          { label: trans.__('Merge now'), callback: merge, displayType: 'accent' },
          { label: trans.__('Later'), callback: () => undefined }
        ]
      }
    );
    this._waiting.set(course.id, { text, note });
  }

  /** Say that edits could not be saved before a pull. */
  unsaved(paths: readonly string[]): void {
    Notification.warning(
      this._trans.__('%1 could not be saved before the pull.', paths.join(', ')),
      { autoClose: 8_000 }
    );
  }

  /** Say that a request for a pull was refused. */
  refused(title: string, message: string): void {
    Notification.error(this._trans.__('%1: %2', title, message), {
      autoClose: false,
      actions: [this._showAction()]
    });
  }

  private _pulling(course: ICourse): void {
    const running = this._running.get(course.id) ?? { since: this._now(), note: null };
    this._running.set(course.id, running);
    if (running.note === null && this._now() - running.since < LONG_MS) {
      return;
    }
    const percent = course.progress?.percent ?? null;
    const message = this._progress(course, percent);
    const progress = percent === null ? {} : { progress: percent / 100 };
    if (running.note === null) {
      running.note = Notification.emit(message, 'in-progress', { autoClose: false, ...progress });
    } else {
      Notification.update({ id: running.note, message, ...progress });
    }
  }

  private _progress(course: ICourse, percent: number | null): string {
    const trans = this._trans;
    if (!course.progress) {
      return trans.__('Pulling %1', course.title);
    }
    const { phase } = course.progress;
    return percent === null
      ? trans.__('Pulling %1: %2', course.title, phase)
      : trans.__('Pulling %1: %2, %3 %', course.title, phase, percent);
  }

  private _delivered(course: ICourse): string {
    const trans = this._trans;
    const count = course.changes.length;
    if (course.changes_truncated) {
      return trans.__('%1: more than %2 files changed.', course.title, count);
    }
    return trans._n('%2: one file changed.', '%2: %1 files changed.', count, course.title);
  }

  private _end(
    course: ICourse,
    type: 'success' | 'warning' | 'error',
    message: string,
    autoClose: number | false
  ): void {
    this._dismiss(course);
    Notification.emit(message, type, { autoClose, actions: [this._showAction()] });
  }

  private _dismiss(course: ICourse): void {
    const note = this._running.get(course.id)?.note;
    this._running.delete(course.id);
    if (note) {
      Notification.dismiss(note);
    }
  }

  private _showAction(): Notification.IAction {
    return { label: this._trans.__('Show'), callback: this._show };
  }

  private readonly _edited = new Map<string, string>();
  private readonly _waiting = new Map<string, { text: string; note: string }>();
  private readonly _trans: TranslationBundle;
  private readonly _show: () => void;
  private readonly _now: () => number;
  private readonly _running = new Map<string, { since: number; note: string | null }>();
}
