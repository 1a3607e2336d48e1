import { Signal } from '@lumino/signaling';
import { describe, expect, it } from 'vitest';

import { pieces } from '../src/courses/compare/rows';
import { courseNote, subjectOf, TAG } from '../src/courses/coursenote';
import { NewsModel } from '../src/courses/news';
import { UnsavedReporter } from '../src/courses/unsaved';
import type { ICellRow, INews } from '../src/rest/types';
import { course, look } from './course';

describe('NewsModel', () => {
  const asked: string[] = [];
  let answer: () => Promise<INews> = () => Promise.resolve({ unseen: 2, items: [] });
  const client = {
    news: (id: string) => {
      asked.push(id);
      return answer();
    },
    seen: () => Promise.resolve({ unseen: 0, items: [] })
  };

  it('asks once for each change, and again after a failure', async () => {
    asked.length = 0;
    const news = new NewsModel(client);
    await news.follow(look(course()));
    await news.follow(look(course()));
    expect(asked).toEqual(['stats']);
    expect(news.unseen).toBe(2);
    answer = () => Promise.reject(new Error('down'));
    await news.follow(look(course({ last_change: 200 })));
    expect(news.unseen).toBe(2);
    answer = () => Promise.resolve({ unseen: 3, items: [] });
    await news.follow(look(course({ last_change: 200 })));
    expect(news.unseen).toBe(3);
    await news.markSeen('stats', null);
    expect(news.unseen).toBe(0);
    await news.follow(look());
    expect(news.of('stats')).toBeNull();
  });
});

describe('pieces of a comparison', () => {
  const cell = (source: string) => ({ type: 'code', source });
  const rows: ICellRow[] = [
    { status: 'same', yours: cell('a'), teachers: cell('a'), base: cell('a') },
    { status: 'same', yours: cell('b'), teachers: cell('b'), base: null },
    { status: 'changed', yours: cell('c1'), teachers: cell('c2'), base: cell('c1') },
    { status: 'note', yours: cell('n'), teachers: null, base: null },
    { status: 'yours', yours: cell('d'), teachers: null, base: null },
    { status: 'teachers', yours: null, teachers: cell('e'), base: null }
  ];

  it('keeps equal cells together and the numbers of the rows', () => {
    const found = pieces(rows, 'yours', 'teachers');
    expect(found.map(piece => piece.kind)).toEqual([
      'same',
      'different',
      'different',
      'different',
      'different'
    ]);
    const different = found.flatMap(piece => (piece.kind === 'different' ? [piece.cell] : []));
    expect(different.map(({ number, canTake }) => [number, canTake])).toEqual([
      [2, true],
      [3, false],
      [4, false],
      [5, true]
    ]);
  });

  it('leaves out cells that neither of two versions has', () => {
    const found = pieces(rows, 'base', 'teachers');
    const numbers = found.flatMap(piece =>
      piece.kind === 'different' ? [piece.cell.number] : piece.cells.map(one => one.number)
    );
    expect(numbers).toEqual([0, 1, 2, 5]);
  });
});

describe('the note in a cell', () => {
  const details = { cell_type: 'code', source: 'x = 1', of: 'abc' };

  it('is read from metadata, and from nothing else', () => {
    expect(courseNote({ tags: [TAG], samepage: details })).toEqual({
      type: 'code',
      source: 'x = 1',
      of: 'abc'
    });
    expect(courseNote({ tags: [], samepage: details })).toBeNull();
    expect(courseNote({ tags: TAG, samepage: details })).toBeNull();
    expect(courseNote({ tags: [TAG], samepage: { ...details, cell_type: 'script' } })).toBeNull();
    expect(courseNote({ tags: [TAG], samepage: null })).toBeNull();
    expect(courseNote({ tags: [TAG], samepage: { ...details, of: 3 } })?.of).toBeNull();
  });

  it('is about the named cell, else the one above', () => {
    const note = { type: 'code', source: '', of: 'b' } as const;
    expect(subjectOf(['a', 'b', 'c', 'n'], 3, note)).toBe(1);
    expect(subjectOf(['a', 'c', 'n'], 2, note)).toBe(1);
    expect(subjectOf(['n'], 0, { ...note, of: null })).toBe(-1);
  });
});

describe('UnsavedReporter', () => {
  it('tells what is unsaved when that changes, and repeats only what is', async () => {
    const told: (readonly string[])[] = [];
    let again: () => void = () => undefined;
    const model = {
      dirty: false,
      readOnly: false,
      collaborative: false,
      stateChanged: new Signal<unknown, unknown>({})
    };
    const document = {
      path: 'courses/stats/a.ipynb',
      isReady: true,
      isDisposed: false,
      contentsModel: null,
      model,
      save: () => Promise.resolve(),
      revert: () => Promise.resolve()
    };
    const reporter: UnsavedReporter = new UnsavedReporter({
      client: {
        editing: (_id, _client, paths) => {
          told.push(paths);
          return Promise.resolve();
        }
      },
      courses: () => [course()],
      documents: () => [document],
      repeat: callback => {
        again = callback;
        return { isDisposed: false, dispose: () => undefined };
      }
    });
    reporter.follow();
    again();
    expect(told).toEqual([]);
    model.dirty = true;
    model.stateChanged.emit(undefined);
    model.stateChanged.emit(undefined);
    expect(told).toEqual([['a.ipynb']]);
    again();
    expect(told).toHaveLength(2);
    model.dirty = false;
    await reporter.flush();
    expect(told).toEqual([['a.ipynb'], ['a.ipynb'], []]);
    await reporter.flush();
    expect(told).toHaveLength(3);
    model.dirty = true;
    model.stateChanged.emit(undefined);
    reporter.leave();
    expect(told.slice(3)).toEqual([['a.ipynb'], []]);
    reporter.dispose();
  });
});
