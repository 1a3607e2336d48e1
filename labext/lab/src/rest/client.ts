import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { errorFromAnswer, errorFromNetwork, isRecord, RestError } from './error';
import type {
  IAppLog,
  IApps,
  ICourse,
  ICourses,
  IMyGpus,
  INews,
  IOpened,
  IServerStatus,
  ISnoozed,
  ITaken,
  IUndone,
  IVersions
} from './types';

/** What can be asked of an application. */
export type AppChange = 'start' | 'stop' | 'restart' | 'retry' | 'dismiss';

const POST: RequestInit = { method: 'POST', body: '{}' };

/**
 * Requests to the server half. Every method rejects with a `RestError`, and with nothing else.
 */
export class RestClient {
  constructor(settings: ServerConnection.ISettings) {
    this._settings = settings;
  }

  /** Memory of this server, and what the node agent says. */
  status(): Promise<IServerStatus> {
    return this._poll('status', ['memory', 'agent', 'features']);
  }

  /** This user's GPUs and processes on them. */
  gpu(): Promise<IMyGpus> {
    return this._poll('gpu', ['state', 'gpus', 'processes', 'flags', 'kernels']);
  }

  /** Put the reminder of idle memory off; 0 seconds: no longer. */
  snoozeGpu(gpu: string, seconds: number): Promise<ISnoozed> {
    const init = { method: 'POST', body: JSON.stringify({ gpu, seconds }) };
    return this._request('gpu/snooze', init, ['gpu', 'until']);
  }

  /** The applications this server can start, and those it cannot, with the reason. */
  apps(): Promise<IApps> {
    return this._poll('apps', ['apps']);
  }

  /** Ask for a change of an application. Answers when it is under way. */
  async changeApp(name: string, change: AppChange): Promise<void> {
    await this._request(`apps/${encodeURIComponent(name)}/${change}`, POST, []);
  }

  /** Stop every application. */
  async stopApps(): Promise<void> {
    await this._request('apps/stop-all', POST, []);
  }

  /** The last lines an application wrote. */
  appLog(name: string, lines: number): Promise<IAppLog> {
    return this._poll(`apps/${encodeURIComponent(name)}/log`, ['lines'], { lines });
  }

  /**
   * Open a file in an application, or start it in a folder.
   *
   * @param path - relative to the server's root folder.
   */
  openInApp(name: string, path: string): Promise<IOpened> {
    return this._request(
      `apps/${encodeURIComponent(name)}/open`,
      { method: 'POST', body: JSON.stringify({ path }) },
      ['url']
    );
  }

  /** The courses and how their pulls went. */
  courses(): Promise<ICourses> {
    return this._poll('courses', ['state', 'courses']);
  }

  /** Ask for a pull. Answers at once, with the course as it is then. */
  pull(courseId: string): Promise<ICourse> {
    return this._request(`courses/${encodeURIComponent(courseId)}/pull`, POST, ['id', 'state']);
  }

  /** The last pulls of a course with their files. */
  news(courseId: string): Promise<INews> {
    return this._poll(`courses/${encodeURIComponent(courseId)}/news`, ['unseen', 'items']);
  }

  /** Count news as looked at: of these paths, or all. Answers the news after that. */
  seen(courseId: string, paths: readonly string[] | null): Promise<INews> {
    return this._course(courseId, 'seen', { paths }, ['unseen', 'items']);
  }

  /**
   * Tell which files this tab has unsaved, relative to the course's folder.
   *
   * @param leaving - the page goes away, and the request is to outlive it.
   */
  async editing(
    courseId: string,
    client: string,
    paths: readonly string[],
    leaving = false
  ): Promise<void> {
    await this._request(
      `courses/${encodeURIComponent(courseId)}/editing`,
      { method: 'POST', body: JSON.stringify({ client, paths }), keepalive: leaving },
      null
    );
  }

  /** The versions of a file of a course. */
  versions(courseId: string, path: string): Promise<IVersions> {
    const search = URLExt.objectToQueryString({ path });
    return this._request(
      `courses/${encodeURIComponent(courseId)}/diff${search}`,
      { method: 'GET', cache: 'no-store' },
      ['form']
    );
  }

  /** The course's version of a file in place; the student's beside. */
  take(courseId: string, path: string): Promise<ITaken> {
    return this._course(courseId, 'take', { path }, ['path']);
  }

  /** The course's version of one cell, if nothing has changed since `compared` was read. */
  takeCell(courseId: string, compared: IVersions, row: number): Promise<ITaken> {
    const body = {
      path: compared.path,
      row,
      yours: compared.yours?.blob ?? '',
      teachers: compared.teachers?.blob ?? ''
    };
    return this._course(courseId, 'take', body, ['path']);
  }

  /** The course's version of a file beside the student's. */
  freshCopy(courseId: string, path: string): Promise<ITaken> {
    return this._course(courseId, 'copy', { path }, ['path']);
  }

  /**
   * Merge what is not saved into a file that a pull changed meanwhile.
   *
   * @param known - SHA-256 of the file as this tab last read or saved it, if the server told.
   */
  mergeUnsaved(
    courseId: string,
    path: string,
    content: string,
    known: string | null
  ): Promise<ITaken> {
    return this._course(courseId, 'merge', { path, content, ...(known && { known }) }, ['path']);
  }

  /** Put the files of a pull back, or take that back. */
  undo(courseId: string, pull: string, again: boolean): Promise<IUndone> {
    return this._course(courseId, again ? 'redo' : 'undo', { pull }, ['paths', 'kept']);
  }

  private _course<T>(
    courseId: string,
    verb: string,
    body: Readonly<Record<string, unknown>>,
    keys: readonly string[]
  ): Promise<T> {
    return this._request(
      `courses/${encodeURIComponent(courseId)}/${verb}`,
      { method: 'POST', body: JSON.stringify(body) },
      keys
    );
  }

  private _poll<T>(
    path: string,
    keys: readonly string[],
    query: Readonly<Record<string, number>> = {}
  ): Promise<T> {
    // A poll is not a person at work: it must not keep an idle server from being stopped.
    const search = URLExt.objectToQueryString({ ...query, no_track_activity: 1 });
    return this._request(`${path}${search}`, { method: 'GET', cache: 'no-store' }, keys);
  }

  /** keys: what the answer must have; null when it has no content. */
  private async _request<T>(
    path: string,
    init: RequestInit,
    keys: readonly string[] | null
  ): Promise<T> {
    const url = URLExt.join(this._settings.baseUrl, 'samepage/api', path);
    const shown = `samepage/api/${path.split('?', 1)[0] ?? path}`;
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this._settings);
    } catch (cause) {
      throw errorFromNetwork(shown, cause);
    }
    let body: unknown = null;
    try {
      body = await response.json();
    } catch {
      // Not JSON, such as a hub's error page: the status below tells enough.
    }
    if (!response.ok) {
      throw errorFromAnswer(shown, response.status, body);
    }
    if (keys === null) {
      return undefined as T;
    }
    if (!isRecord(body) || keys.some(key => !(key in body))) {
      throw new RestError({
        code: 'unexpected_answer',
        message: `${shown} answered something else than expected (${keys.join(', ')}).`,
        fix: 'Reload the page; if it stays, the two halves of jupyter-samepage have different versions.'
      });
    }
    return body as T;
  }

  private readonly _settings: ServerConnection.ISettings;
}
