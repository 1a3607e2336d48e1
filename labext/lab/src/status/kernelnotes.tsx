import React from 'react';

import type { IKernelNote } from '../rest/types';
import { kernelNoteFix, kernelNoteWords } from './kernelwording';
import { type ITranslated, Trouble } from './parts';

const MOST_NOTES = 3;

/** Kernels of this server that share little memory with the others; nothing when all is well. */
export function KernelNotes(
  props: ITranslated & { notes: readonly IKernelNote[] }
): React.JSX.Element | null {
  const { notes, trans } = props;
  if (notes.length === 0) {
    return null;
  }
  const more = notes.length - MOST_NOTES;
  return (
    <section className="jp-Samepage-kernelNotes">
      <h3>{trans.__('Your kernels')}</h3>
      {notes.slice(0, MOST_NOTES).map(note => (
        <Trouble
          key={note.kernel_id}
          message={`${kernelNoteWords(note, trans)} ${kernelNoteFix(note, trans)}`}
          fix={null}
          trans={trans}
        />
      ))}
      {more > 0 ? (
        <p className="jp-Samepage-quiet">
          {trans._n('One more kernel shares little.', '%1 more kernels share little.', more)}
        </p>
      ) : null}
    </section>
  );
}
