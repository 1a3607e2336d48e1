/** A piece of a sentence: plain text, or a command. */
export interface IProsePart {
  readonly text: string;
  readonly code: boolean;
}

/** A command that ends its sentence, as in `Ask the operator to run: pip install x`. */
const TRAILING = /^(.*\b(?:run|with): )(\S.*)$/s;

/**
 * Cut a server's sentence into text and commands: those in backticks, or the one it ends with. An
 * odd backtick stays plain text.
 */
export function splitProse(sentence: string): IProsePart[] {
  const trailing = sentence.includes('`') ? null : TRAILING.exec(sentence);
  if (trailing) {
    const [, before = '', command = ''] = trailing;
    return [
      { text: before, code: false },
      { text: command, code: true }
    ];
  }
  const pieces = sentence.split('`');
  if (pieces.length % 2 === 0) {
    const rest = pieces.splice(-2, 2).join('`');
    pieces.push(rest);
  }
  return pieces
    .map((text, index) => ({ text, code: index % 2 === 1 }))
    .filter(part => part.text !== '');
}

/**
 * What a copy button should copy: the commands, one a line, or else all of it.
 */
export function copyable(sentence: string): string {
  const commands = splitProse(sentence)
    .filter(part => part.code)
    .map(part => part.text);
  return commands.length > 0 ? commands.join('\n') : sentence;
}
