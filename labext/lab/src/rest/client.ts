import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { errorFromAnswer, errorFromNetwork, isRecord, RestError } from './error';
import type { IAppLog, IApps, ICourse, ICourses, IOpened, IServerStatus } from './types';

/** What can be asked of an application. */
export type AppChange = 'start' | 'stop' | 'restart' | 'retry';

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

  private _poll<T>(
    path: string,
    keys: readonly string[],
    query: Readonly<Record<string, number>> = {}
  ): Promise<T> {
    // A poll is not a person at work: it must not keep an idle server from being stopped.
    const search = URLExt.objectToQueryString({ ...query, no_track_activity: 1 });
    return this._request(`${path}${search}`, { method: 'GET', cache: 'no-store' }, keys);
  }

  private async _request<T>(path: string, init: RequestInit, keys: readonly string[]): Promise<T> {
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
