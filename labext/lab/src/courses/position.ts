import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { Widget } from '@lumino/widgets';

/** What notebooks and file editors have of what matters here. */
interface IContent {
  readonly editor?: CodeEditor.IEditor | null;
  readonly activeCell?: ICell | null;
  readonly widgets?: readonly ICell[];
  activeCellIndex?: number;
  mode?: string;
}

interface ICell {
  readonly editor: CodeEditor.IEditor | null;
  readonly model: { readonly id: string };
}

/**
 * Remember where somebody is in a document.
 *
 * @returns a function that goes there again, after the document was read anew.
 */
export function remember(widget: Widget): () => void {
  const content = (widget as Widget & { content?: Widget & IContent }).content;
  if (!content) {
    return () => undefined;
  }
  const cell = content.activeCell ?? null;
  const editor = cell ? cell.editor : (content.editor ?? null);
  const cursor = editor?.getCursorPosition() ?? null;
  const id = cell?.model.id;
  const index = content.activeCellIndex;
  const mode = content.mode;
  const scroller = content.node.querySelector('.jp-WindowedPanel-outer') ?? content.node;
  const top = scroller.scrollTop;
  const focused = content.node.contains(document.activeElement);
  return () => {
    if (content.isDisposed) {
      return;
    }
    if (index !== undefined && content.widgets) {
      const place = content.widgets.findIndex(candidate => candidate.model.id === id);
      content.activeCellIndex = place < 0 ? Math.min(index, content.widgets.length - 1) : place;
      if (mode !== undefined && focused) {
        content.mode = mode;
      }
    }
    const now = content.activeCell ? content.activeCell.editor : (content.editor ?? null);
    if (now && cursor) {
      const line = Math.min(cursor.line, now.lineCount - 1);
      const column = Math.min(cursor.column, now.getLine(line)?.length ?? 0);
      now.setCursorPosition({ line, column }, { scroll: false });
    }
    scroller.scrollTop = top;
  };
}
