import { PageConfig, PathExt } from '@jupyterlab/coreutils';

import type { ICourse } from '../rest/types';

/**
 * A file of a course as a path of the contents manager; null when the course lies outside of it.
 */
export function contentsPath(course: Pick<ICourse, 'target'>, path: string): string | null {
  return course.target === null ? null : PathExt.join(course.target, path);
}

/** Whether Lab can open a file of a course: its server refuses hidden ones unless told otherwise. */
export function canOpen(path: string): boolean {
  return (
    PageConfig.getOption('allow_hidden_files') === 'true' ||
    !path.split('/').some(part => part.startsWith('.'))
  );
}

/** True when a path of the contents manager lies in the course's folder. */
export function isInCourse(course: Pick<ICourse, 'target'>, path: string): boolean {
  const target = course.target;
  if (target === null) {
    return false;
  }
  return target === '' || target === '.' || path.startsWith(`${target.replace(/\/$/, '')}/`);
}
