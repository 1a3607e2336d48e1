import { describe, expect, it } from 'vitest';

import { chosenPlace, choosePlace, withPlace } from '../src/applications/placement';

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

describe('withPlace', () => {
  it('remembers a choice for any application, beside those for others', () => {
    const setting = withPlace({ rstudio: 'lab-tab' }, 'a third-party-entry', 'browser-tab');
    expect(setting).toEqual({ rstudio: 'lab-tab', 'a third-party-entry': 'browser-tab' });
    const entry = { name: 'a third-party-entry', new_browser_tab: false };
    expect(choosePlace({ app: entry, asked: null, setting, labTabs: true })).toBe('browser-tab');
  });

  it('changes its mind, and takes it back', () => {
    const once = withPlace(undefined, 'openrefine', 'lab-tab');
    expect(withPlace(once, 'openrefine', 'browser-tab')).toEqual({ openrefine: 'browser-tab' });
    expect(withPlace(once, 'openrefine', 'lab-tab')).toEqual({});
  });

  it('drops what is no place', () => {
    expect(withPlace({ old: 'tab', other: 3 }, 'openrefine', 'lab-tab')).toEqual({
      openrefine: 'lab-tab'
    });
    expect(chosenPlace({ old: 'tab' }, 'old')).toBeNull();
  });
});
