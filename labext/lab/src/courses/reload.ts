import type { DocumentRegistry } from '@jupyterlab/docregistry';

import { sameTexts, type Texts, textsOf, updateInPlace } from './inplace';

/**
 * Read a document anew without losing a letter that is typed meanwhile.
 *
 * @param before - what it said when it was last the same as its file.
 * @param instead - prepares for the document being replaced as a whole; what it returns is called
 *   afterwards.
 */
export async function reload(
  document: DocumentRegistry.Context,
  before: Texts,
  instead: () => () => void
): Promise<void> {
  const { model } = document;
  const { fromString, fromJSON } = model;
  const done: { typed: boolean; back: () => void } = { typed: false, back: () => undefined };
  // JupyterLab reads the file and then replaces all of the model by it. Only here is the moment
  // known in which it does, and what was typed until then.
  const replace = (fresh: unknown, whole: () => void): void => {
    done.typed = !sameTexts(textsOf(model), before);
    if (!updateInPlace(model, before, fresh)) {
      done.typed = false;
      done.back = instead();
      whole();
    }
  };
  model.fromString = value => {
    replace(value, () => {
      fromString.call(model, value);
    });
  };
  model.fromJSON = value => {
    replace(value, () => {
      fromJSON.call(model, value);
    });
  };
  try {
    await document.revert();
  } finally {
    model.fromString = fromString;
    model.fromJSON = fromJSON;
  }
  model.dirty = done.typed;
  done.back();
}
