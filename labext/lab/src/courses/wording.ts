import type { TranslationBundle } from '@jupyterlab/translation';

import type { ChangeKind, CourseState, ICourse } from '../rest/types';

/** The state in two or three words. */
export function stateWords(state: CourseState, trans: TranslationBundle): string {
  switch (state) {
    case 'waiting':
      return trans.__('Waiting');
    case 'pulling':
      return trans.__('Pulling');
    case 'up_to_date':
      return trans.__('Up to date');
    case 'offline':
      return trans.__('Offline');
    case 'failed':
      return trans.__('Pull failed');
  }
}

/** What happened to a file, in one or two words. */
export function changeWords(kind: ChangeKind, trans: TranslationBundle): string {
  switch (kind) {
    case 'new':
      return trans.__('New');
    case 'updated':
      return trans.__('Updated');
    case 'merged':
      return trans.__('Merged');
    case 'restored':
      return trans.__('Restored');
    case 'deleted':
      return trans.__('Deleted');
    case 'renamed':
      return trans.__('Renamed');
    case 'kept_yours':
      return trans.__('Kept yours');
  }
}

/** What happened to a file, in one sentence. */
export function changeSentence(kind: ChangeKind, trans: TranslationBundle): string {
  switch (kind) {
    case 'new':
      return trans.__('The teacher added this file.');
    case 'updated':
      return trans.__('The teacher changed this file.');
    case 'merged':
      return trans.__('The teacher and you changed this file: both changes are in it.');
    case 'restored':
      return trans.__('You had deleted this file of the course: it came back.');
    case 'deleted':
      return trans.__('The teacher deleted this file.');
    case 'renamed':
      return trans.__('This file has a new name.');
    case 'kept_yours':
      return trans.__('The teacher and you changed the same place: yours was kept.');
  }
}

/** What a screen reader hears when a course's state changes. */
export function announcement(course: ICourse, trans: TranslationBundle): string {
  return trans.__('%1: %2', course.title, stateWords(course.state, trans));
}
