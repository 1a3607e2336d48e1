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

  /** Stop every application. */
  export const stopAllApplications = 'samepage:stop-all-applications';

  /** Show what an application wrote. Args: `name`. */
  export const showApplicationLog = 'samepage:show-application-log';

  /** Say why an application failed. Args: `name`. */
  export const explainFailure = 'samepage:explain-failure';

  /** Pull a course now. Args: `id`; without it every course. */
  export const pullCourse = 'samepage:pull-course';

  /** Show the Courses panel. */
  export const showCourses = 'samepage:show-courses';

  /** Open or close the panel behind the status bar item. */
  export const toggleStatus = 'samepage:toggle-status';
}
