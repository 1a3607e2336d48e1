import { describe, expect, it } from 'vitest';

import { formatBytes, formatRatio } from '../src/format';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [812 * MIB, '812 MiB'],
    [1023.4 * MIB, '1023 MiB'],
    [1023.6 * MIB, '1.0 GiB'], // never "1024 MiB"
    [2 * GIB, '2.0 GiB'],
    [99.94 * GIB, '99.9 GiB'],
    [128 * GIB, '128 GiB'],
    [1023.7 * GIB, '1.0 TiB'],
    [5000 * 1024 ** 5, '5000 PiB'],
    [-4096, '-4 KiB'] // what merging brings can be a loss
  ])('%d is %s', (bytes, words) => {
    expect(formatBytes(bytes)).toBe(words);
  });
});

describe('formatRatio', () => {
  it.each([
    [0, '0 %'],
    [0.001, '<1 %'],
    [0.034, '3 %'],
    [1.5, '150 %']
  ])('%d is %s', (ratio, words) => {
    expect(formatRatio(ratio)).toBe(words);
  });
});
