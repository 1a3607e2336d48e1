import { describe, expect, it } from 'vitest';

import { carryOver, edits } from '../src/courses/carryover';

describe('carryOver', () => {
  const before = 'one\ntwo\nthree\n';

  it('is the new text when nothing was typed', () => {
    expect(carryOver(before, before, 'other')).toBe('other');
  });

  it('puts what was typed at its place, above and below what the teacher changed', () => {
    const fresh = 'one\nTWO and more\nthree\n';
    expect(carryOver(before, 'onex\ntwo\nthree\n', fresh)).toBe('onex\nTWO and more\nthree\n');
    expect(carryOver(before, `${before}four`, fresh)).toBe(`${fresh}four`);
    expect(carryOver(before, 'one\ntwo\nthe\n', fresh)).toBe('one\nTWO and more\nthe\n');
  });

  it('has both where both wrote at the same place', () => {
    const both = carryOver(before, 'one\ntwo mine\nthree\n', 'one\ntwo theirs\nthree\n');
    expect(both).toContain('mine');
    expect(both).toContain('theirs');
  });

  it('loses no letter, also where the teacher deleted all', () => {
    expect(carryOver(before, 'one\ntwo typed\nthree\n', '')).toContain('typed');
  });
});

describe('edits', () => {
  it('make one text of the other, from its end to its start', () => {
    const [one, other] = ['a b c d', 'a x c d e'];
    let text = one;
    for (const { from, to, insert } of edits(one, other)) {
      text = text.slice(0, from) + insert + text.slice(to);
    }
    expect(text).toBe(other);
  });
});
