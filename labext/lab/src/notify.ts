import { Notification } from '@jupyterlab/apputils';

import { errorWords } from './rest/error';

/**
 * Tell of an error in a notification that stays.
 *
 * @param note - the notification of the attempt, to be replaced.
 */
export function tellError(what: string, reason: unknown, note?: string): void {
  const message = errorWords(what, reason);
  if (note === undefined) {
    Notification.error(message, { autoClose: false });
  } else {
    Notification.update({ id: note, message, type: 'error', autoClose: false });
  }
}
