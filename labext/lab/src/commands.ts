/**
 * The commands of this extension.
 */
export namespace CommandIDs {
  /** Open an application. Args: `name`, and `place` to overrule the setting. */
  export const openApplication = 'samepage:open-application';

  /** Pull a course now. Args: `id`; without it every course. */
  export const pullCourse = 'samepage:pull-course';

  /** Show the Courses panel. */
  export const showCourses = 'samepage:show-courses';

  /** Open or close the panel behind the status bar item. */
  export const toggleStatus = 'samepage:toggle-status';
}
