import type { DocumentRegistry } from '@jupyterlab/docregistry';

import { sameTexts, type Texts, textsOf } from './inplace';

const guarded = new WeakSet<DocumentRegistry.Context>();

/**
 * Do something before each save of a document, whoever asks for it: the student, the autosave.
 *
 * JupyterLab compares the file with what it knows of it only inside of `save`, and then asks; a
 * signal that comes before cannot be waited for. So the method itself is replaced, once.
 *
 * @param prepare - when it fails, the document is saved as without it, and JupyterLab asks.
 */
export function guard(document: DocumentRegistry.Context, prepare: () => Promise<void>): void {
  if (guarded.has(document)) {
    return;
  }
  guarded.add(document);
  const save = document.save.bind(document);
  let running: Promise<void> | null = null;
  document.save = () => {
    running ??= prepare()
      .catch((reason: unknown) => {
        console.warn(`${document.path} could not be merged before it is saved: ${String(reason)}`);
      })
      .then(save)
      .finally(() => {
        running = null;
      });
    return running;
  };
  // What is typed while a save is under way is not in the file; JupyterLab counts it as saved.
  let sent: Texts | null = null;
  document.saveState.connect((_, state) => {
    if (state === 'started') {
      sent = textsOf(document.model);
    } else if (state === 'completed' && sent && !sameTexts(sent, textsOf(document.model))) {
      document.model.dirty = true;
    }
  });
}
