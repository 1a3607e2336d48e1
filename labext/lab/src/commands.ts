/**
 * The commands of this extension.
 */
export namespace CommandIDs {
  /** Open an application. Args: `name`, and `place` to overrule the setting. */
  export const openApplication = 'samepage:open-application';

  /** Open a file in an application. Args: `name`, `path`; without it the selected file. */
  export const openFile = 'samepage:open-file';

  /** Stop an application. Args: `name`. */
  export const stopApplication = 'samepage:stop-application';

  /** Stop an application and start it again. Args: `name`. */
  export const restartApplication = 'samepage:restart-application';

  /** Start an application that failed. Args: `name`. */
  export const retryApplication = 'samepage:retry-application';

  /** Forget that an application failed. Args: `name`. */
  export const dismissApplication = 'samepage:dismiss-application';

  /** Always open an application in one place, or no longer. Args: `name`, `place`. */
  export const keepPlace = 'samepage:keep-place';

  /** Stop every application. */
  export const stopAllApplications = 'samepage:stop-all-applications';

  /** Show what an application wrote. Args: `name`. */
  export const showApplicationLog = 'samepage:show-application-log';

  /** Say why an application failed. Args: `name`. */
  export const explainFailure = 'samepage:explain-failure';

  /** Pull a course now. Args: `id`; without it every course. */
  export const pullCourse = 'samepage:pull-course';

  /** Compare a file of a course with the teacher's version. Args: `id`, `path`. */
  export const compareFile = 'samepage:compare-course-file';

  /** Replace a file by the teacher's version, the student's beside. Args: `id`, `path`. */
  export const takeFile = 'samepage:take-course-file';

  /** Put the teacher's version beside a file. Args: `id`, `path`. */
  export const copyFile = 'samepage:copy-course-file';

  /** Open a file of the news. Args: `id`, `path`. */
  export const openNews = 'samepage:open-course-file';

  /** Undo a pull. Args: `id`, `pull`; without them the last one. */
  export const undoPull = 'samepage:undo-pull';

  /** Undo the undoing of a pull. Args: `id`, `pull`. */
  export const redoPull = 'samepage:redo-pull';

  /** Count all news of a course as seen. Args: `id`; without it of every course. */
  export const markSeen = 'samepage:mark-course-seen';

  /** Show the Courses panel. */
  export const showCourses = 'samepage:show-courses';

  /** Open or close the panel behind the status bar item. */
  export const toggleStatus = 'samepage:toggle-status';

  /** Open or close the same panel at this user's GPUs. */
  export const toggleGpu = 'samepage:toggle-gpu';

  /** End a kernel that holds GPU memory. Args: `kernel`; without it the one that holds most. */
  export const freeGpu = 'samepage:free-gpu';

  /** Put a reminder off, or no longer. Args: `gpu`, `seconds`; without them all, for an hour. */
  export const snoozeGpu = 'samepage:snooze-gpu';
}
