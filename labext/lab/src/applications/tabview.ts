import type { AppState } from '../rest/types';

/** What a tab shows, and what it has seen of its application. */
export interface ITabView {
  /** The application (or its start page, which looks after itself), or that it has ended. */
  readonly shows: 'app' | 'ended';
  /** Whether the application answered while the tab showed it. */
  readonly ran: boolean;
  /** At the last look; null when not running or not known. */
  readonly uptime: number | null;
}

/**
 * What a tab shows after a look at its application. As long as a start has not succeeded, the start
 * page tells what happens; only an application that ran and ended would leave a dead page behind.
 *
 * @param state - null when the server does not know: the tab stays as it is.
 * @returns the new view, and whether the page has to be loaded anew.
 */
export function nextView(
  view: ITabView,
  state: AppState | null,
  uptime: number | null
): { view: ITabView; load: boolean } {
  switch (state) {
    case null:
      return { view, load: false };
    case 'ready':
    case 'idle': {
      const restarted = uptime !== null && view.uptime !== null && uptime < view.uptime;
      const load = view.shows === 'ended' || (view.ran && restarted);
      return { view: { shows: 'app', ran: true, uptime }, load };
    }
    case 'starting':
      return {
        view: { shows: 'app', ran: false, uptime: null },
        load: view.shows === 'ended' || view.ran
      };
    case 'stopping':
    case 'stopped':
    case 'failed': {
      const ended = view.shows === 'ended' || view.ran;
      return { view: { shows: ended ? 'ended' : 'app', ran: view.ran, uptime: null }, load: false };
    }
  }
}
