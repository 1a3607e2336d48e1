import { type ISignal, Signal } from '@lumino/signaling';

import type { RestClient } from '../rest/client';
import type { ICourses, INews } from '../rest/types';

/**
 * What is new in each course; asked for when a pull has changed something, and after each action.
 */
export class NewsModel {
  constructor(client: Pick<RestClient, 'news' | 'seen'>) {
    this._client = client;
  }

  /** Emitted when the news of some course are other ones. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The news of a course; null while they are not known. */
  of(id: string): INews | null {
    return this._news.get(id) ?? null;
  }

  /** Files not looked at yet, over all courses. */
  get unseen(): number {
    let sum = 0;
    for (const news of this._news.values()) {
      sum += news.unseen;
    }
    return sum;
  }

  /** Ask for the news of courses that have changed since the last look. */
  async follow(courses: ICourses): Promise<void> {
    const known = new Set(courses.courses.map(course => course.id));
    for (const id of [...this._news.keys()]) {
      if (!known.has(id)) {
        this._news.delete(id);
        this._asked.delete(id);
      }
    }
    await Promise.all(
      courses.courses.map(async course => {
        const age = course.last_change ?? 0;
        if (this._asked.get(course.id) !== age) {
          this._asked.set(course.id, age);
          if (!(await this.refresh(course.id))) {
            this._asked.delete(course.id);
          }
        }
      })
    );
  }

  /** Ask for the news of one course. False when there was no answer: the old ones stay. */
  async refresh(id: string): Promise<boolean> {
    try {
      this._set(id, await this._client.news(id));
      return true;
    } catch {
      return false; // the panel shows the state of the server anyway
    }
  }

  /** Count paths, or everything, as looked at. */
  async markSeen(id: string, paths: readonly string[] | null): Promise<void> {
    this._set(id, await this._client.seen(id, paths));
  }

  private _set(id: string, news: INews): void {
    this._news.set(id, news);
    this._changed.emit();
  }

  private readonly _client: Pick<RestClient, 'news' | 'seen'>;
  private readonly _news = new Map<string, INews>();
  private readonly _asked = new Map<string, number>();
  private readonly _changed = new Signal<this, void>(this);
}
