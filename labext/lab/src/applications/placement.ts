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
  const chosen =
    typeof setting === 'object' && setting !== null
      ? (setting as Record<string, unknown>)[app.name]
      : undefined;
  if (isPlace(chosen)) {
    return chosen;
  }
  return app.new_browser_tab ? 'browser-tab' : 'lab-tab';
}

function isPlace(value: unknown): value is Place {
  return value === 'browser-tab' || value === 'lab-tab';
}
