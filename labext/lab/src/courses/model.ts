import type { RestClient } from '../rest/client';
import type { ICourse, ICourses } from '../rest/types';
import { SnapshotModel } from '../model';

/**
 * The courses of this server; asked for often while something moves, rarely otherwise.
 */
export class CoursesModel extends SnapshotModel<ICourses> {
  constructor(client: Pick<RestClient, 'courses' | 'pull'>) {
    super({
      name: 'jupyter-samepage:courses',
      fetch: () => client.courses(),
      interval: courseInterval
    });
    this._client = client;
  }

  /** The course of this id; null when unknown. */
  find(id: string): ICourse | null {
    return this.snapshot?.courses.find(course => course.id === id) ?? null;
  }

  /**
   * Ask the server to pull. Rejects with a `RestError` when it refuses.
   */
  async pull(id: string): Promise<void> {
    const answer = await this._client.pull(id);
    if (this.isDisposed) {
      return;
    }
    if (this.snapshot) {
      this.set({
        ...this.snapshot,
        courses: this.snapshot.courses.map(course => (course.id === id ? answer : course))
      });
    }
    await this.refresh();
  }

  private readonly _client: Pick<RestClient, 'courses' | 'pull'>;
}

/** Milliseconds to the next look. */
export function courseInterval(snapshot: ICourses | null): number {
  const states = snapshot?.courses.map(course => course.state) ?? [];
  if (states.includes('pulling')) {
    return 1_000;
  }
  return states.includes('waiting') ? 3_000 : 30_000;
}
