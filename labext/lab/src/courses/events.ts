import type { ICourse, ICourses } from '../rest/types';

/** What happened to a course between two looks at it. */
export type CourseEvent =
  | { readonly kind: 'pulling'; readonly course: ICourse }
  | { readonly kind: 'delivered'; readonly course: ICourse }
  | { readonly kind: 'unchanged'; readonly course: ICourse }
  | { readonly kind: 'offline'; readonly course: ICourse }
  | { readonly kind: 'failed'; readonly course: ICourse };

/**
 * Compare two looks. Pure.
 *
 * A pull may begin and end between them: then `last_pull` or `last_change` tells. The first look
 * (`before` is null) reports a running pull and a failure, which the student has not seen yet, but
 * no delivery. `delivered` means files changed on disk.
 */
export function courseEvents(before: ICourses | null, after: ICourses): CourseEvent[] {
  const events: CourseEvent[] = [];
  for (const course of after.courses) {
    const old = before?.courses.find(candidate => candidate.id === course.id) ?? null;
    // Also while the next pull runs already.
    if (old && old.last_change !== course.last_change && course.last_change !== null) {
      events.push({ kind: 'delivered', course });
    }
    if (course.state === 'pulling') {
      events.push({ kind: 'pulling', course });
      continue;
    }
    if (course.state === 'waiting') {
      continue;
    }
    const ended = old?.state === 'pulling';
    if (course.state === 'failed') {
      if (ended || old?.state !== 'failed' || old.message !== course.message) {
        events.push({ kind: 'failed', course });
      }
    } else if (course.state === 'offline') {
      if (ended || (old && old.state !== 'offline')) {
        events.push({ kind: 'offline', course });
      }
    } else if (ended && old.last_change === course.last_change) {
      events.push({ kind: 'unchanged', course });
    }
  }
  return events;
}
