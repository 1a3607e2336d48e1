import type { IApp } from '../rest/types';

/** Where an application opens. */
export type Place = 'browser-tab' | 'lab-tab';

/**
 * Where to open an application: what was asked for, else the user's setting, else what the server
 * suggests. Outside JupyterLab there are no Lab tabs, so always the browser.
 */
export function choosePlace(options: {
  app: Pick<IApp, 'name' | 'new_browser_tab'>;
  asked: unknown;
  setting: unknown;
  labTabs: boolean;
}): Place {
  const { app, asked, setting, labTabs } = options;
  if (!labTabs) {
    return 'browser-tab';
  }
  if (isPlace(asked)) {
    return asked;
  }
  return chosenPlace(setting, app.name) ?? (app.new_browser_tab ? 'browser-tab' : 'lab-tab');
}

/** Where the user's setting says that an application opens; null when it does not say. */
export function chosenPlace(setting: unknown, name: string): Place | null {
  const chosen = asRecord(setting)[name];
  return isPlace(chosen) ? chosen : null;
}

/** The setting with a choice added; choosing the same place again takes the choice back. */
export function withPlace(setting: unknown, name: string, place: Place): Record<string, Place> {
  const kept = Object.entries(asRecord(setting)).filter(
    (entry): entry is [string, Place] => entry[0] !== name && isPlace(entry[1])
  );
  const choices = Object.fromEntries(kept);
  return chosenPlace(setting, name) === place ? choices : { ...choices, [name]: place };
}

function asRecord(setting: unknown): Record<string, unknown> {
  return typeof setting === 'object' && setting !== null
    ? (setting as Record<string, unknown>)
    : {};
}

/** Whether a value names a place. */
export function isPlace(value: unknown): value is Place {
  return value === 'browser-tab' || value === 'lab-tab';
}
