import { describe, expect, it } from 'vitest';

import { choosePlace } from '../src/applications/placement';

const app = (newTab: boolean) => ({ name: 'openrefine', new_browser_tab: newTab });

describe('choosePlace', () => {
  it.each([
    ['the server suggests the browser', true, undefined, {}, true, 'browser-tab'],
    ['the server suggests a Lab tab', false, undefined, {}, true, 'lab-tab'],
    ['the setting overrules it', true, undefined, { openrefine: 'lab-tab' }, true, 'lab-tab'],
    ['a setting for another', true, undefined, { rstudio: 'lab-tab' }, true, 'browser-tab'],
    ['asking overrules both', false, 'browser-tab', { openrefine: 'lab-tab' }, true, 'browser-tab'],
    [
      'a misspelt setting is no setting',
      true,
      undefined,
      { openrefine: 'tab' },
      true,
      'browser-tab'
    ],
    ['settings that did not load', false, undefined, undefined, true, 'lab-tab'],
    ['no Lab tabs in Notebook 7', false, 'lab-tab', { openrefine: 'lab-tab' }, false, 'browser-tab']
  ])('%s', (_name, newTab, asked, setting, labTabs, place) => {
    expect(choosePlace({ app: app(newTab), asked, setting, labTabs })).toBe(place);
  });
});
