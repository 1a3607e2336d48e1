import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { errorFromAnswer, errorFromNetwork, isRecord, RestError } from './error';
import type { IApps, ICourse, ICourses, IServerStatus } from './types';

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

  /** The courses and how their pulls went. */
  courses(): Promise<ICourses> {
    return this._poll('courses', ['state', 'courses']);
  }

  /** Ask for a pull. Answers at once, with the course as it is then. */
  pull(courseId: string): Promise<ICourse> {
    return this._request(
      `courses/${encodeURIComponent(courseId)}/pull`,
      { method: 'POST', body: '{}' },
      ['id', 'state']
    );
  }

  private _poll<T>(path: string, keys: readonly string[]): Promise<T> {
    // A poll is not a person at work: it must not keep an idle server from being stopped.
    return this._request(`${path}?no_track_activity=1`, { method: 'GET', cache: 'no-store' }, keys);
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
