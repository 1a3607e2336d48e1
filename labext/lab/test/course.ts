import type { ICourse, ICourses } from '../src/rest/types';

/** A course that is up to date. */
export function course(values: Partial<ICourse> = {}): ICourse {
  return {
    id: 'stats',
    title: 'Statistics',
    url: 'https://git.example.org/stats',
    branch: 'main',
    target: 'courses/stats',
    state: 'up_to_date',
    message: 'Up to date.',
    fix: null,
    progress: null,
    last_pull: 100,
    last_change: 100,
    changes: [],
    changes_truncated: false,
    waiting: [],
    ...values
  };
}

/** What the server answers with these courses. */
export function look(...courses: ICourse[]): ICourses {
  return { state: 'ok', message: null, fix: null, courses };
}
