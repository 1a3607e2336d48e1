import { describe, expect, it } from 'vitest';

import { copyable, splitProse } from '../src/prose';

describe('splitProse', () => {
  it('sets commands apart', () => {
    expect(splitProse('Run `apt-get install r-base`, then reload.')).toEqual([
      { text: 'Run ', code: false },
      { text: 'apt-get install r-base', code: true },
      { text: ', then reload.', code: false }
    ]);
  });

  it('takes the command a sentence ends with', () => {
    expect(splitProse('Ask the operator to run: apt-get install openrefine')).toEqual([
      { text: 'Ask the operator to run: ', code: false },
      { text: 'apt-get install openrefine', code: true }
    ]);
    expect(splitProse('It will rerun: later')).toEqual([
      { text: 'It will rerun: later', code: false }
    ]);
  });

  it('leaves an odd backtick as text', () => {
    expect(splitProse('Run `a` and `b')).toEqual([
      { text: 'Run ', code: false },
      { text: 'a', code: true },
      { text: ' and `b', code: false }
    ]);
    expect(splitProse('a ` b')).toEqual([{ text: 'a ` b', code: false }]);
  });
});

describe('copyable', () => {
  it('copies the commands, or else the sentence', () => {
    expect(copyable('First `a`, then `b c`.')).toBe('a\nb c');
    expect(copyable('Ask the operator.')).toBe('Ask the operator.');
  });
});
