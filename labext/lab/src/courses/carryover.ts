import { diff } from '@codemirror/merge';

/** A replacement of `from`..`to`, of a text as it is while no other edit is done yet. */
export interface IEdit {
  readonly from: number;
  readonly to: number;
  readonly insert: string;
}

/** What makes `after` of `before`; from the end to the start, to be done one by one. Pure. */
export function edits(before: string, after: string): IEdit[] {
  return diff(before, after)
    .map(({ fromA, toA, fromB, toB }) => ({
      from: fromA,
      to: toA,
      insert: after.slice(fromB, toB)
    }))
    .reverse();
}

/**
 * What was typed since `before`, put into `fresh`, a newer version of the same text. Nothing that
 * was typed is left out: where `fresh` changed the same place, both are in it. Pure.
 */
export function carryOver(before: string, typed: string, fresh: string): string {
  if (typed === before) {
    return fresh;
  }
  const theirs = diff(before, fresh);
  const moved = (place: number): number => {
    let shift = 0;
    for (const { fromA, toA, fromB, toB } of theirs) {
      if (place < fromA || (place === fromA && toA > fromA)) {
        break;
      }
      if (place < toA) {
        return toB;
      }
      shift = toB - fromB - (toA - fromA) + shift;
    }
    return place + shift;
  };
  let text = fresh;
  for (const { from, to, insert } of edits(before, typed)) {
    const untouched = theirs.every(({ fromA, toA }) => toA <= from || fromA >= to);
    const start = moved(from);
    const end = untouched ? start + (to - from) : start;
    text = text.slice(0, start) + insert + text.slice(end);
  }
  return text;
}
