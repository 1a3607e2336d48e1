import type { RestClient } from '../rest/client';
import type { ICourse, ICourses } from '../rest/types';
import { SnapshotModel } from '../model';

/**
 * The courses of this server; asked for often while something moves, rarely otherwise.
 */
export class CoursesModel extends SnapshotModel<ICourses> {
  /**
   * @param inUse - whether a document of one of the courses is open.
   */
  constructor(
    client: Pick<RestClient, 'courses' | 'pull'>,
    inUse: (courses: readonly ICourse[]) => boolean = () => false
  ) {
    super({
      name: 'jupyter-samepage:courses',
      fetch: () => client.courses(),
      interval: snapshot => courseInterval(snapshot, inUse(snapshot?.courses ?? []))
    });
    this._client = client;
  }

  /** Documents were opened or closed: from now on look as often as that needs. */
  follow(): void {
    if (this.pace()) {
      void this.refresh();
    }
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
export function courseInterval(snapshot: ICourses | null, inUse = false): number {
  const states = snapshot?.courses.map(course => course.state) ?? [];
  if (states.includes('pulling')) {
    return 1_000;
  }
  if (states.includes('waiting')) {
    return 3_000;
  }
  return inUse ? 5_000 : 30_000;
}
