/** One point of a history: x is seconds, y null where nothing was measured. */
export interface ISparkPoint {
  readonly x: number;
  readonly y: number | null;
}

/** A drawing of a history in its own coordinates. */
export interface ISparkline {
  /** SVG path data; a gap where nothing was measured. */
  readonly path: string;
  readonly low: number;
  readonly high: number;
  /** Seconds from the first to the last point. */
  readonly seconds: number;
}

/**
 * Scale a history into a box of `width` by `height`, zero at the bottom; null with fewer than two
 * measured points.
 */
export function sparkline(
  points: readonly ISparkPoint[],
  width: number,
  height: number
): ISparkline | null {
  const measured = points.flatMap(point => (point.y === null ? [] : [point.y]));
  const first = points[0];
  const last = points.at(-1);
  if (measured.length < 2 || !first || !last || last.x <= first.x) {
    return null;
  }
  const low = Math.min(...measured);
  const high = Math.max(...measured);
  const bottom = Math.min(0, low);
  const span = high - bottom || 1;
  let pen = 'M';
  const steps: string[] = [];
  for (const { x, y } of points) {
    if (y === null) {
      pen = 'M';
      continue;
    }
    const left = ((x - first.x) / (last.x - first.x)) * width;
    const top = height - ((y - bottom) / span) * height;
    steps.push(`${pen}${left.toFixed(1)} ${top.toFixed(1)}`);
    pen = 'L';
  }
  return { path: steps.join(''), low, high, seconds: last.x - first.x };
}
