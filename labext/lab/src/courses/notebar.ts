import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { Cell } from '@jupyterlab/cells';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { type PanelLayout, Widget } from '@lumino/widgets';

import { courseNote, removeNote, useCourseVersion } from './coursenote';

/** On a notebook whose last change is ours: Ctrl-Z takes it back also outside of a cell's editor. */
const UNDOABLE = 'jp-Samepage-mod-undoable';

/**
 * A bar in each cell that shows the course's version of the cell above.
 */
export const courseNotes: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-samepage:course-notes',
  description:
    'Puts buttons into cells in which a pull kept the teacher’s version: use it, or remove it.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('jupyter_samepage');
    const follow = (panel: NotebookPanel): void => {
      let looking = false;
      const update = (): void => {
        if (looking) {
          return;
        }
        looking = true;
        // The model tells of a new cell before the notebook has made a widget for it.
        void Promise.resolve().then(() => {
          looking = false;
          if (!panel.isDisposed) {
            for (const cell of panel.content.widgets) {
              void place(panel, cell, trans);
            }
          }
        });
      };
      // A pull that reloads the notebook makes all cells new.
      panel.content.modelContentChanged.connect(update);
      panel.content.modelChanged.connect(update);
      void panel.context.ready.then(update);
      panel.revealed.then(update, () => undefined);
    };
    notebooks.forEach(follow);
    notebooks.widgetAdded.connect((_, panel) => {
      follow(panel);
    });
    app.commands.addKeyBinding({
      command: 'notebook:undo-cell-action',
      keys: ['Accel Z'],
      selector: `.jp-Notebook.jp-mod-commandMode.${UNDOABLE} :focus:not(:read-write)`
    });
    app.commands.addKeyBinding({
      command: 'notebook:undo-cell-action',
      keys: ['Accel Z'],
      selector: `.jp-Notebook.jp-mod-commandMode.${UNDOABLE}:focus`
    });
  }
};

async function place(panel: NotebookPanel, cell: Cell, trans: TranslationBundle): Promise<void> {
  const old = bars.get(cell);
  const wanted = courseNote(cell.model.metadata) !== null;
  if (!wanted || old) {
    if (old && !wanted) {
      bars.delete(cell);
      old.dispose();
    }
    return;
  }
  const bar = new NoteBar({
    trans,
    use: () => {
      act(panel, cell, useCourseVersion);
    },
    remove: () => {
      act(panel, cell, (notebook, position) => {
        removeNote(notebook, position);
        return position - 1;
      });
    }
  });
  bars.set(cell, bar);
  await cell.ready;
  if (cell.isDisposed || bar.isDisposed) {
    bar.dispose();
    return;
  }
  (cell.layout as PanelLayout).insertWidget(1, bar); // below the cell's header
}

const bars = new WeakMap<Cell, NoteBar>();

function act(
  panel: NotebookPanel,
  cell: Cell,
  change: (notebook: NonNullable<NotebookPanel['model']>['sharedModel'], place: number) => number
): void {
  const { content, model } = panel;
  const position = content.widgets.indexOf(cell);
  if (!model || model.readOnly || position < 0) {
    return;
  }
  const now = change(model.sharedModel, position);
  if (now < 0 && content.widgets.includes(cell)) {
    return;
  }
  content.activeCellIndex = Math.max(now, 0);
  content.mode = 'command';
  // The new cell is drawn later; without it the focus, and with it Ctrl-Z, would be nowhere.
  void NotebookActions.focusActiveCell(content, { waitUntilReady: true });
  content.addClass(UNDOABLE);
  const { sharedModel } = model;
  const done = (): void => {
    content.removeClass(UNDOABLE);
    sharedModel.changed.disconnect(onChange);
    content.stateChanged.disconnect(onState);
  };
  // A kernel that starts changes metadata: that is nobody's edit.
  const onChange = (_: unknown, change: { readonly cellsChange?: unknown }): void => {
    if (change.cellsChange) {
      done();
    }
  };
  const onState = (): void => {
    if (content.mode === 'edit') {
      done();
    }
  };
  sharedModel.changed.connect(onChange);
  content.stateChanged.connect(onState);
}

/** One line with two buttons. */
class NoteBar extends Widget {
  constructor(options: { trans: TranslationBundle; use: () => void; remove: () => void }) {
    super();
    const { trans } = options;
    this.addClass('jp-Samepage-noteBar');
    this.node.setAttribute('role', 'group');
    const words = trans.__('The course’s version of the cell above');
    this.node.setAttribute('aria-label', words);
    const text = document.createElement('span');
    text.textContent = words;
    this.node.append(
      text,
      button(
        trans.__('Use this'),
        trans.__('Replace my cell above by the course’s version'),
        () => {
          options.use();
        }
      ),
      button(trans.__('Remove'), trans.__('Keep mine, and remove the course’s version'), () => {
        options.remove();
      })
    );
  }
}

function button(label: string, title: string, onClick: () => void): HTMLButtonElement {
  const node = document.createElement('button');
  node.type = 'button';
  node.className = 'jp-Samepage-button';
  node.textContent = label;
  node.title = title;
  node.addEventListener('click', event => {
    event.stopPropagation();
    onClick();
  });
  // Enter and Space are for the button, not for the notebook around it.
  node.addEventListener('keydown', event => {
    if (event.key === 'Enter' || event.key === ' ') {
      event.stopPropagation();
    }
  });
  return node;
}
