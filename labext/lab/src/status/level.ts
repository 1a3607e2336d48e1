/** How full something is. */
export type Level = 'unknown' | 'normal' | 'high' | 'critical';

/** From here on a warning; the kernel kills processes at 1. */
export const HIGH_RATIO = 0.8;
export const CRITICAL_RATIO = 0.95;

/** The level of a use against its limit; `unknown` when either is missing or the limit is 0. */
export function memoryLevel(used: number | null, limit: number | null): Level {
  if (used === null || limit === null || limit <= 0) {
    return 'unknown';
  }
  const ratio = used / limit;
  if (ratio >= CRITICAL_RATIO) {
    return 'critical';
  }
  return ratio >= HIGH_RATIO ? 'high' : 'normal';
}
