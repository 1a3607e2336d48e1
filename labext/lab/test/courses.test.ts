import { PageConfig } from '@jupyterlab/coreutils';
import { describe, expect, it } from 'vitest';

import { type OpenDocument, reloadClean, saveEdited } from '../src/courses/documents';
import { courseEvents } from '../src/courses/events';
import { courseInterval } from '../src/courses/model';
import { canOpen, contentsPath, isInCourse } from '../src/courses/paths';
import type { ICourses } from '../src/rest/types';
import { course, look } from './course';

function kinds(before: ICourses | null, after: ICourses): string[] {
  return courseEvents(before, after).map(event => event.kind);
}

describe('courseEvents', () => {
  const failed = course({ state: 'failed', message: 'No access.' });

  it('tells of a failure the student has not seen, once', () => {
    expect(kinds(null, look(failed))).toEqual(['failed']);
    expect(kinds(look(failed), look(failed))).toEqual([]);
  });

  it('tells of a failure again after a new try, or for a new reason', () => {
    expect(kinds(look(course({ state: 'pulling' })), look(failed))).toEqual(['failed']);
    expect(kinds(look({ ...failed, message: 'Disk full.' }), look(failed))).toEqual(['failed']);
  });

  it('says nothing of a course that is simply there', () => {
    expect(kinds(null, look(course()))).toEqual([]);
    expect(kinds(look(course()), look(course()))).toEqual([]);
    expect(kinds(null, look(course({ state: 'waiting' })))).toEqual([]);
  });

  it('tells of a running pull at each look', () => {
    const pulling = course({ state: 'pulling' });
    expect(kinds(null, look(pulling))).toEqual(['pulling']);
    expect(kinds(look(pulling), look(pulling))).toEqual(['pulling']);
  });

  it('tells whether a pull brought something', () => {
    const pulling = look(course({ state: 'pulling' }));
    expect(kinds(pulling, look(course({ last_pull: 200 })))).toEqual(['unchanged']);
    expect(kinds(pulling, look(course({ last_pull: 200, last_change: 200 })))).toEqual([
      'delivered'
    ]);
  });

  it('sees a delivery whose pull began and ended between two looks', () => {
    expect(kinds(look(course()), look(course({ last_change: 200 })))).toEqual(['delivered']);
  });

  it('sees a delivery also while the next pull runs', () => {
    const next = course({ state: 'pulling', last_change: 200 });
    expect(kinds(look(course()), look(next))).toEqual(['delivered', 'pulling']);
  });

  it('tells both when a pull changed files and then failed', () => {
    expect(
      kinds(look(course({ state: 'pulling' })), look({ ...failed, last_change: 200 }))
    ).toEqual(['delivered', 'failed']);
  });

  it('tells when the network goes, not that it is gone', () => {
    const offline = course({ state: 'offline' });
    expect(kinds(look(course()), look(offline))).toEqual(['offline']);
    expect(kinds(look(offline), look(offline))).toEqual([]);
    expect(kinds(null, look(offline))).toEqual([]);
  });
});

describe('courseInterval', () => {
  it('looks every second only while something is pulled', () => {
    expect(courseInterval(look(course(), course({ state: 'pulling' })))).toBe(1_000);
    expect(courseInterval(look(course({ state: 'waiting' })))).toBe(3_000);
    expect(courseInterval(look(course()))).toBe(30_000);
    expect(courseInterval(null)).toBe(30_000);
  });

  it('looks more often while a document of a course is open', () => {
    expect(courseInterval(look(course()), true)).toBe(5_000);
  });
});

describe('paths', () => {
  it('joins the folder and the file', () => {
    expect(contentsPath({ target: 'courses/stats' }, 'a/b.ipynb')).toBe('courses/stats/a/b.ipynb');
    expect(contentsPath({ target: '' }, 'b.ipynb')).toBe('b.ipynb');
    expect(contentsPath({ target: null }, 'b.ipynb')).toBeNull();
  });

  it('offers no hidden file to be opened, unless the server shows those', () => {
    expect(canOpen('data/bikes.csv')).toBe(true);
    expect(canOpen('.gitignore')).toBe(false);
    expect(canOpen('.github/workflow.yml')).toBe(false);
    PageConfig.setOption('allow_hidden_files', 'true');
    try {
      expect(canOpen('.gitignore')).toBe(true);
    } finally {
      PageConfig.setOption('allow_hidden_files', 'false');
    }
  });

  it('knows a neighbour with the same beginning from the course', () => {
    expect(isInCourse({ target: 'courses/stats' }, 'courses/stats/a.ipynb')).toBe(true);
    expect(isInCourse({ target: 'courses/stats' }, 'courses/stats2/a.ipynb')).toBe(false);
    expect(isInCourse({ target: '' }, 'a.ipynb')).toBe(true);
    expect(isInCourse({ target: null }, 'a.ipynb')).toBe(false);
  });
});

describe('open documents', () => {
  const calls: string[] = [];
  const THEN = '2026-09-01T08:00:00Z';
  const NOW = '2026-09-01T09:00:00Z';

  function open(path: string, state: Partial<OpenDocument['model']> = {}, fail = false) {
    const document: OpenDocument = {
      path,
      isReady: true,
      isDisposed: false,
      contentsModel: { last_modified: THEN } as OpenDocument['contentsModel'],
      model: { dirty: false, readOnly: false, collaborative: false, toString: () => '', ...state },
      save: () => {
        calls.push(`save ${path}`);
        return fail ? Promise.reject(new Error('disk full')) : Promise.resolve();
      },
      revert: () => {
        calls.push(`revert ${path}`);
        return Promise.resolve();
      }
    };
    return document;
  }

  it('are saved before a pull when they are edited and in the course', async () => {
    calls.length = 0;
    const unsaved = await saveEdited(course(), [
      open('courses/stats/edited.ipynb', { dirty: true }),
      open('courses/stats/clean.ipynb'),
      open('courses/stats/locked.ipynb', { dirty: true, readOnly: true }),
      open('mine/edited.ipynb', { dirty: true }),
      open('courses/stats/full.ipynb', { dirty: true }, true)
    ]);
    expect(calls).toEqual(['save courses/stats/edited.ipynb', 'save courses/stats/full.ipynb']);
    expect(unsaved).toEqual(['courses/stats/full.ipynb']);
  });

  it('are loaded again when the file is newer, but never over unsaved edits', async () => {
    calls.length = 0;
    const look = (path: string) => {
      if (path.endsWith('gone.ipynb')) {
        return Promise.reject(new Error('404'));
      }
      return Promise.resolve({ last_modified: path.endsWith('same.ipynb') ? THEN : NOW });
    };
    const edited = await reloadClean(
      course(),
      [
        open('courses/stats/clean.ipynb'),
        open('courses/stats/same.ipynb'),
        open('courses/stats/edited.ipynb', { dirty: true }),
        open('courses/stats/shared.ipynb', { collaborative: true }),
        open('courses/stats/gone.ipynb'),
        open('mine/other.ipynb')
      ],
      look
    );
    expect(calls).toEqual(['revert courses/stats/clean.ipynb']);
    expect(edited.map(document => document.path)).toEqual(['courses/stats/edited.ipynb']);
  });
});
