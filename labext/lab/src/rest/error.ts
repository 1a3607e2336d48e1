/**
 * A request that did not work: what was asked, what the server said, and what to do next.
 */
export class RestError extends Error {
  constructor(options: { code: string; message: string; fix: string | null; cause?: unknown }) {
    super(options.message, { cause: options.cause });
    this.name = 'RestError';
    this.code = options.code;
    this.fix = options.fix;
  }

  /** Stable, for programs. */
  readonly code: string;

  /** The next step, in one sentence; null when there is none to give. */
  readonly fix: string | null;
}

/**
 * The error of an answer that is not 2xx.
 *
 * @param body - the parsed JSON of the answer, or null when it was not JSON.
 */
export function errorFromAnswer(path: string, status: number, body: unknown): RestError {
  const told = isRecord(body) ? body : {};
  const message = text(told['message']);
  if (status === 404 && text(told['code']) === null) {
    return new RestError({
      code: 'server_half_missing',
      message: `This Jupyter server does not know ${path} (404): the Samepage server extension is not running.`,
      fix: 'Run `jupyter server extension enable labext` on the server and start it again.'
    });
  }
  return new RestError({
    code: text(told['code']) ?? `http_${status}`,
    message: message ?? `${path} answered ${status}.`,
    fix: text(told['fix'])
  });
}

/** The error of a request that got no answer at all. */
export function errorFromNetwork(path: string, cause: unknown): RestError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new RestError({
    code: 'no_answer',
    message: `No answer from the Jupyter server for ${path}: ${detail}`,
    fix: 'Check the network connection; if the server was stopped, start it again.',
    cause
  });
}

/** What did not work, why, and what to do next, as one text. */
export function errorWords(what: string, reason: unknown): string {
  if (!(reason instanceof RestError)) {
    return `${what}: ${String(reason)}`;
  }
  return reason.fix === null
    ? `${what}: ${reason.message}`
    : `${what}: ${reason.message} ${reason.fix}`;
}

/** True for a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
