const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/**
 * A size in binary units with at least two digits from GiB on: `812 MiB`, `2.0 GiB`, `128 GiB`.
 */
export function formatBytes(bytes: number): string {
  const sign = bytes < 0 ? '-' : '';
  let size = Math.abs(bytes);
  let unit = 0;
  while (unit < UNITS.length - 1 && Number(rounded(size, unit)) >= 1024) {
    size /= 1024;
    unit += 1;
  }
  return `${sign}${rounded(size, unit)} ${UNITS[unit] ?? 'B'}`;
}

/** A ratio as whole percent; `<1 %` for what would round to nothing. */
export function formatRatio(ratio: number): string {
  const percent = ratio * 100;
  return percent > 0 && percent < 1 ? '<1 %' : `${Math.round(percent)} %`;
}

function rounded(size: number, unit: number): string {
  return size.toFixed(unit >= 3 && size < 99.95 ? 1 : 0);
}
