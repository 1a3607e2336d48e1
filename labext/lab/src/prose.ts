/** A sentence cut into plain text and `commands in backticks`. */
export interface IProsePart {
  readonly text: string;
  readonly code: boolean;
}

/**
 * Cut a server's sentence at its backticks. An odd backtick stays plain text.
 */
export function splitProse(sentence: string): IProsePart[] {
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
 * What a copy button should copy: the commands in backticks, one a line, or else all of it.
 */
export function copyable(sentence: string): string {
  const commands = splitProse(sentence)
    .filter(part => part.code)
    .map(part => part.text);
  return commands.length > 0 ? commands.join('\n') : sentence;
}
