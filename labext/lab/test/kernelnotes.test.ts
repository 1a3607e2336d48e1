import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';

import type { IKernelNote } from '../src/rest/types';
import { kernelNoteFix, kernelNoteWords } from '../src/status/kernelwording';

const trans = nullTranslator.load('');

const note = (changes: Partial<IKernelNote>): IKernelNote => ({
  kernel_id: 'k',
  path: 'course/03-pandas.ipynb',
  state: 'drifted',
  cause: 'folder',
  name: '/home/ada/lib',
  ...changes
});

describe('a kernel that shares little', () => {
  it('is named with its cause, in one sentence', () => {
    expect(kernelNoteWords(note({}), trans)).toBe(
      'Little memory is shared by the kernel of 03-pandas.ipynb: /home/ada/lib is on its path for ' +
        'modules (sys.path), and most do not have it.'
    );
    expect(
      kernelNoteWords(
        note({ state: 'unsuited', cause: 'own', name: '/home/ada has its own numpy', path: null }),
        trans
      )
    ).toBe(
      'Little memory is shared by a kernel that has no notebook, which started in the ordinary ' +
        'way: /home/ada has its own numpy.'
    );
  });

  it.each(['python', 'version', 'module', 'modules', 'folder', 'files', 'missing', 'variable'])(
    'has words without a name for %s',
    cause => {
      const words = kernelNoteWords(note({ cause, name: null }), trans);
      expect(words).not.toContain('no reason');
      expect(words).not.toContain('null');
      expect(kernelNoteFix(note({ cause }), trans)).toMatch(/restart|start it again/);
    }
  );

  it('has words for a cause that is new', () => {
    expect(kernelNoteWords(note({ cause: 'moon', name: null }), trans)).toContain(
      'no reason was noted'
    );
    expect(kernelNoteFix(note({ cause: 'moon' }), trans)).toContain('tell your operator');
  });
});
