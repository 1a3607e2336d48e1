import { describe, expect, it, vi } from 'vitest';

import { opensFile } from '../src/applications/files';
import { ApplicationsModel, applicationsInterval } from '../src/applications/model';
import { cardMark, isListed, sameCard } from '../src/applications/state';
import { type ITabView, nextView } from '../src/applications/tabview';
import type { AppState, IApps } from '../src/rest/types';
import { app } from './app';

const listed = (...states: (AppState | null)[]): IApps => ({
  apps: states.map(state => app({ state }))
});

describe('opensFile', () => {
  it.each([
    ['openrefine', 'data/Harvest.CSV', true],
    ['openrefine', 'a.tsv', true],
    ['openrefine', 'a.json', true],
    ['openrefine', 'a.xlsx', true],
    ['openrefine', 'a.xml', true],
    ['openrefine', 'a.R', false],
    ['openrefine', 'csv', false],
    ['rstudio', 'script.R', true],
    ['rstudio', 'report.Rmd', true],
    ['rstudio', 'report.qmd', true],
    ['rstudio-4.4', 'course.Rproj', true],
    ['rstudio', 'a.csv', false],
    ['rstudiolike', 'a.R', false],
    ['mlflow', 'a.csv', false]
  ])('%s and %s: %s', (name, path, expected) => {
    expect(opensFile(name, path)).toBe(expected);
  });
});

describe('applicationsInterval', () => {
  it('looks rarely when nothing runs and nobody looks', () => {
    expect(applicationsInterval(null, false)).toBe(60_000);
    expect(applicationsInterval(listed('stopped', null, 'failed'), false)).toBe(60_000);
  });

  it('looks more often while one runs, or somebody looks', () => {
    expect(applicationsInterval(listed('stopped', 'ready'), false)).toBe(5_000);
    expect(applicationsInterval(listed('idle'), false)).toBe(5_000);
    expect(applicationsInterval(listed('stopped'), true)).toBe(5_000);
  });

  it('looks every second while one starts or stops', () => {
    expect(applicationsInterval(listed('ready', 'starting'), false)).toBe(1_000);
    expect(applicationsInterval(listed('stopping'), true)).toBe(1_000);
  });
});

describe('ApplicationsModel', () => {
  it('asks once however many want a fresh answer, and again when it is old', async () => {
    let asked = 0;
    let now = 1_000_000;
    const model = new ApplicationsModel(
      {
        apps: () => {
          asked += 1;
          return Promise.resolve(listed('ready'));
        }
      },
      () => now
    );
    await model.ready;
    expect(asked).toBe(1);
    expect(model.find('openrefine')?.state).toBe('ready');
    expect(model.find('other')).toBeNull();
    await model.refreshIfOlderThan(5_000);
    expect(asked).toBe(1);
    now += 6_000;
    await Promise.all([model.refreshIfOlderThan(5_000), model.refreshIfOlderThan(5_000)]);
    expect(asked).toBe(2);
    model.watch().dispose();
    await vi.waitFor(() => {
      expect(asked).toBe(3);
    });
    model.dispose();
  });
});

describe('cards', () => {
  it('stay as they are while numbers and states change', () => {
    expect(sameCard(app(), app({ state: 'ready', uptime_seconds: 3, memory_bytes: 7 }))).toBe(true);
  });

  it.each([
    ['availability', { available: false }],
    ['reason', { reason: 'No Java' }],
    ['title', { title: 'Refine' }],
    ['icon', { icon_svg: '<svg/>' }],
    ['presence in the launcher', { launcher: false }]
  ])('are made anew for another %s', (_what, change) => {
    expect(sameCard(app(), app(change))).toBe(false);
  });

  it.each([
    ['ready', 'running', true],
    ['idle', 'running', true],
    ['starting', 'starting', true],
    ['failed', 'failed', true],
    ['stopping', 'none', true],
    ['stopped', 'none', false],
    [null, 'none', false]
  ] as const)('of one that is %s: mark %s, listed %s', (state, mark, shown) => {
    expect(cardMark(app({ state }))).toBe(mark);
    expect(isListed(app({ state }))).toBe(shown);
  });

  it('of one the server no longer lists have no mark', () => {
    expect(cardMark(null)).toBe('none');
  });
});

describe('nextView', () => {
  const fresh: ITabView = { shows: 'app', ran: false, uptime: null };
  const run = (view: ITabView, ...looks: [AppState | null, number | null][]) => {
    const loads: boolean[] = [];
    for (const [state, uptime] of looks) {
      const next = nextView(view, state, uptime);
      view = next.view;
      loads.push(next.load);
    }
    return { view, loads };
  };

  it('leaves a start to the start page, also one that fails or is cancelled', () => {
    for (const end of ['failed', 'stopped'] as const) {
      const { view, loads } = run(fresh, ['starting', null], ['stopping', null], [end, null]);
      expect(view.shows).toBe('app');
      expect(loads).toEqual([false, false, false]);
    }
  });

  it('says that an application that ran has ended', () => {
    for (const end of ['stopping', 'stopped', 'failed'] as const) {
      expect(run(fresh, ['ready', 1], [end, null]).view.shows).toBe('ended');
    }
  });

  it('comes back when somebody starts it again', () => {
    const { view, loads } = run(fresh, ['ready', 9], ['stopped', null], ['starting', null]);
    expect(view.shows).toBe('app');
    expect(loads).toEqual([false, false, true]);
    expect(run(view, ['ready', 1]).loads).toEqual([false]);
    expect(run(fresh, ['ready', 9], ['stopped', null], ['ready', 1]).loads[2]).toBe(true);
  });

  it('loads the page anew after a restart between two looks', () => {
    expect(run(fresh, ['ready', 90], ['ready', 95], ['ready', 2]).loads).toEqual([
      false,
      false,
      true
    ]);
  });

  it('stays when the server does not know', () => {
    const ran = run(fresh, ['ready', 3]).view;
    expect(nextView(ran, null, null)).toEqual({ view: ran, load: false });
  });

  it('does not load what it already shows', () => {
    expect(run(fresh, ['stopped', null], ['starting', null], ['ready', 0]).loads).toEqual([
      false,
      false,
      false
    ]);
  });
});
