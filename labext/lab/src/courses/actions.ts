import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { tellError } from '../notify';
import type { RestClient } from '../rest/client';
import type { ICourse, ITaken, IUndone, IVersions } from '../rest/types';
import type { NewsModel } from './news';
import { contentsPath } from './paths';

/** What the actions need of JupyterLab. */
export interface ISurroundings {
  readonly trans: TranslationBundle;
  readonly client: Pick<RestClient, 'take' | 'takeCell' | 'freshCopy' | 'undo'>;
  readonly news: NewsModel;
  /** Save what is open of a course; paths that could not be saved. */
  readonly save: (course: ICourse) => Promise<string[]>;
  /** Show anew what has changed on disk. */
  readonly reload: (course: ICourse) => Promise<void>;
  /** Open a file of the contents manager. */
  readonly open: (path: string) => void;
}

/**
 * Take, copy, undo: each asks where something is replaced, saves before, and shows the files anew.
 */
export class CourseActions {
  constructor(surroundings: ISurroundings) {
    this._around = surroundings;
  }

  /** Replace a file by the teacher's version; the student's stays beside. */
  async take(course: ICourse, path: string): Promise<void> {
    const { trans, client } = this._around;
    const sure = await this._ask(
      trans.__('Take the teacher’s version of %1?', path),
      trans.__(
        'Your version stays beside it, under a name with “yours” in it. This can be undone.'
      ),
      trans.__('Take it')
    );
    if (sure) {
      await this._do(course, trans.__('The teacher’s version could not be taken'), async () => {
        const taken = await client.take(course.id, path);
        this._tellTaken(course, taken);
      });
    }
  }

  /** Use the teacher's version of one cell. */
  async takeCell(course: ICourse, versions: IVersions, row: number): Promise<void> {
    const { trans, client } = this._around;
    const sure = await this._ask(
      trans.__('Use the teacher’s version of cell %1?', row + 1),
      trans.__('It replaces yours in %1. This can be undone in the Courses panel.', versions.path),
      trans.__('Use it')
    );
    if (sure) {
      await this._do(course, trans.__('The cell could not be replaced'), async () => {
        await client.takeCell(course.id, versions, row);
      });
    }
  }

  /** Put the teacher's version beside. */
  async copy(course: ICourse, path: string): Promise<void> {
    const { trans, client, open } = this._around;
    await this._do(course, trans.__('There is no fresh copy'), async () => {
      const copy = await client.freshCopy(course.id, path);
      const place = contentsPath(course, copy.path);
      Notification.success(trans.__('The fresh copy is %1.', copy.path), {
        autoClose: 8_000,
        ...(place === null
          ? {}
          : {
              actions: [
                {
                  label: trans.__('Open'),
                  callback: () => {
                    open(place);
                  }
                }
              ]
            })
      });
    });
  }

  /** Undo a pull, or take that back. */
  async undo(course: ICourse, pull: string, again: boolean): Promise<void> {
    const { trans, client } = this._around;
    const sure =
      again ||
      (await this._ask(
        trans.__('Undo this pull of %1?', course.title),
        trans.__(
          'Its files become what they were before. What you have changed since then stays. The next update of the course comes as ever.'
        ),
        trans.__('Undo')
      ));
    if (sure) {
      const problem = again
        ? trans.__('The pull could not be brought back')
        : trans.__('The pull could not be undone');
      await this._do(course, problem, async () => {
        this._tellUndone(await client.undo(course.id, pull, again), again);
      });
    }
  }

  private async _ask(title: string, body: string, label: string): Promise<boolean> {
    const { trans } = this._around;
    const answer = await showDialog({
      title,
      body,
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label, ariaLabel: label })
      ],
      defaultButton: 0
    });
    return answer.button.accept;
  }

  private async _do(course: ICourse, problem: string, act: () => Promise<void>): Promise<void> {
    const { trans, save, reload, news } = this._around;
    const unsaved = await save(course);
    if (unsaved.length > 0) {
      Notification.error(
        trans.__('%1: %2 could not be saved before.', problem, unsaved.join(', ')),
        { autoClose: false }
      );
      return;
    }
    try {
      await act();
    } catch (reason) {
      tellError(problem, reason);
    }
    await Promise.all([reload(course), news.refresh(course.id)]);
  }

  private _tellTaken(course: ICourse, taken: ITaken): void {
    const { trans, open } = this._around;
    if (taken.beside === null) {
      Notification.info(trans.__('%1 is the teacher’s version already.', taken.path), {
        autoClose: 5_000
      });
      return;
    }
    const place = contentsPath(course, taken.beside);
    Notification.success(
      trans.__('%1 is the teacher’s version now. Yours is %2.', taken.path, taken.beside),
      {
        autoClose: 8_000,
        ...(place === null
          ? {}
          : {
              actions: [
                {
                  label: trans.__('Open yours'),
                  callback: () => {
                    open(place);
                  }
                }
              ]
            })
      }
    );
  }

  private _tellUndone(undone: IUndone, again: boolean): void {
    const { trans } = this._around;
    const count = undone.paths.length;
    const text = again
      ? trans._n('One file is back.', '%1 files are back.', count)
      : trans._n('One file is as before.', '%1 files are as before.', count);
    if (undone.kept.length === 0) {
      Notification.success(text, { autoClose: 5_000 });
    } else {
      const kept = trans.__(
        'Left as they are, for they were changed since: %1',
        undone.kept.join(', ')
      );
      Notification.warning(`${text} ${kept}`, { autoClose: 10_000 });
    }
  }

  private readonly _around: ISurroundings;
}
