import { describe, expect, it } from 'vitest';

import { errorFromAnswer, errorFromNetwork } from '../src/rest/error';

describe('errorFromAnswer', () => {
  it('says what the server said', () => {
    const error = errorFromAnswer('samepage/api/courses', 500, {
      code: 'no_git',
      message: 'git was not found.',
      fix: 'Install git.'
    });
    expect(error).toMatchObject({
      code: 'no_git',
      message: 'git was not found.',
      fix: 'Install git.'
    });
  });

  it('takes a 404 without a code for a missing server extension', () => {
    const error = errorFromAnswer('samepage/api/status', 404, { message: 'Not found' });
    expect(error.code).toBe('server_half_missing');
    expect(error.message).toContain('samepage/api/status');
    expect(error.fix).toContain('jupyter server extension enable labext');
  });

  it('keeps a 404 that the server half answered itself', () => {
    const error = errorFromAnswer('samepage/api/courses/x/pull', 404, {
      code: 'unknown_course',
      message: 'No course x.',
      fix: null
    });
    expect(error).toMatchObject({ code: 'unknown_course', message: 'No course x.', fix: null });
  });

  it('makes do without JSON', () => {
    expect(errorFromAnswer('samepage/api/apps', 502, null)).toMatchObject({
      code: 'http_502',
      message: 'samepage/api/apps answered 502.',
      fix: null
    });
  });
});

describe('errorFromNetwork', () => {
  it('keeps the cause', () => {
    const cause = new TypeError('Failed to fetch');
    const error = errorFromNetwork('samepage/api/apps', cause);
    expect(error.code).toBe('no_answer');
    expect(error.message).toContain('Failed to fetch');
    expect(error.cause).toBe(cause);
  });
});
