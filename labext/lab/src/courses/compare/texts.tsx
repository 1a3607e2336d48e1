import { MergeView } from '@codemirror/merge';
import { EditorState, type Extension } from '@codemirror/state';
import { EditorView, lineNumbers } from '@codemirror/view';
import { type IEditorLanguageRegistry, jupyterTheme } from '@jupyterlab/codemirror';
import React from 'react';

/** A text and its name, as a screen reader says it. */
export interface INamedText {
  readonly name: string;
  readonly text: string;
}

/**
 * Two texts side by side with their differences marked; to be read only.
 *
 * @param props.language - a file name or MIME type for colours.
 */
export function Texts(props: {
  left: INamedText;
  right: INamedText;
  language: string;
  languages: IEditorLanguageRegistry | null;
  folded: boolean;
}): React.JSX.Element {
  const { language, languages, folded } = props;
  const { name: leftName, text: leftText } = props.left;
  const { name: rightName, text: rightText } = props.right;
  const place = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    const parent = place.current;
    if (!parent) {
      return;
    }
    let gone = false;
    let view: MergeView | null = null;
    void colours(language, languages).then(coloured => {
      if (gone) {
        return;
      }
      view = new MergeView({
        parent,
        a: { doc: leftText, extensions: [...reading(leftName), coloured] },
        b: { doc: rightText, extensions: [...reading(rightName), coloured] },
        gutter: true,
        highlightChanges: true,
        ...(folded ? { collapseUnchanged: { margin: 3, minSize: 6 } } : {})
      });
    });
    return () => {
      gone = true;
      view?.destroy();
    };
  }, [leftName, leftText, rightName, rightText, language, languages, folded]);
  return <div ref={place} className="jp-Samepage-texts" />;
}

function reading(name: string): Extension[] {
  return [
    lineNumbers(),
    EditorView.lineWrapping,
    EditorState.readOnly.of(true),
    EditorView.editable.of(false),
    // Not editable means not focusable; a keyboard could not scroll it.
    EditorView.contentAttributes.of({ tabindex: '0', 'aria-label': name, 'aria-readonly': 'true' }),
    jupyterTheme
  ];
}

async function colours(
  language: string,
  languages: IEditorLanguageRegistry | null
): Promise<Extension> {
  const spec = languages?.findByMIME(language) ?? languages?.findByFileName(language) ?? null;
  const found = spec && languages ? await languages.getLanguage(spec).catch(() => null) : null;
  return found?.support ?? [];
}
