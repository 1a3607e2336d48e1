import type { TranslationBundle } from '@jupyterlab/translation';

import type { IKernelNote } from '../rest/types';

/** What makes the kernel share little, in a sentence. */
export function kernelNoteWords(note: IKernelNote, trans: TranslationBundle): string {
  const kernel =
    note.path === null
      ? trans.__('a kernel that has no notebook')
      : trans.__('the kernel of %1', note.path.split('/').pop() ?? note.path);
  return note.state === 'unsuited'
    ? trans.__(
        'Little memory is shared by %1, which started in the ordinary way: %2.',
        kernel,
        causeWords(note, trans)
      )
    : trans.__('Little memory is shared by %1: %2.', kernel, causeWords(note, trans));
}

function causeWords({ cause, name }: IKernelNote, trans: TranslationBundle): string {
  switch (cause) {
    case 'own':
      return name ?? trans.__('no reason was noted');
    case 'python':
      return trans.__('it runs another build of Python than most of this image');
    case 'version':
      return trans.__('%1 is another version than most of this image have', name ?? 'Python');
    case 'module':
      return name === null
        ? trans.__('a module was not loaded at its start')
        : trans.__('%1 was not loaded at its start', name);
    case 'modules':
      return trans.__('other modules were loaded at its start than for most');
    case 'folder':
      return name === null
        ? trans.__('a folder is on its path for modules that most do not have')
        : trans.__('%1 is on its path for modules (sys.path), and most do not have it', name);
    case 'files':
      return name === null
        ? trans.__('a folder of modules has other files in it than for most')
        : trans.__('%1 has other files in it than for most', name);
    case 'missing':
      return trans.__('a folder that most have is missing on its path for modules (sys.path)');
    case 'variable':
      return name === null
        ? trans.__('a variable that most have is not set')
        : trans.__('the variable %1 is not set as it is for most', name);
    default:
      return trans.__('no reason was noted');
  }
}

/** What the user can do. */
export function kernelNoteFix({ cause }: IKernelNote, trans: TranslationBundle): string {
  switch (cause) {
    case 'own':
      return trans.__(
        'It works as ever. If you do not need your own, remove it and restart the kernel.'
      );
    case 'python':
    case 'version':
    case 'files':
    case 'missing':
      return trans.__(
        'Packages or the image have changed: save your work, then stop your server and start it again.'
      );
    case 'folder':
      return trans.__(
        'Remove what adds it (a .pth file, settings of the kernel), then stop your server and start it again.'
      );
    case 'variable':
      return trans.__(
        'Undo that where it is set (terminal, kernel, profile), then stop your server and start it again.'
      );
    case 'module':
    case 'modules':
      return trans.__('It failed or took too long once: stop your server and start it again.');
    default:
      return trans.__(
        'Stop your server and start it again. If it says so again, tell your operator.'
      );
  }
}
