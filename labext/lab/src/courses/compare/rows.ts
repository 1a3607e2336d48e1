import type { ICellRow, ICellVersion } from '../../rest/types';

/** Which of the versions. */
export type Which = 'yours' | 'teachers' | 'base';

/** A cell as two of its versions show it; `number` is its place in the comparison. */
export interface ICellPair {
  readonly number: number;
  readonly status: ICellRow['status'];
  readonly left: ICellVersion | null;
  readonly right: ICellVersion | null;
  /** Whether the teacher's version could replace the student's. */
  readonly canTake: boolean;
}

/** Cells that differ, one by one, and runs of cells that do not. */
export type Piece =
  | { readonly kind: 'same'; readonly cells: readonly ICellPair[] }
  | { readonly kind: 'different'; readonly cell: ICellPair };

/** Put rows together for two of the versions. Cells that are in neither are left out. Pure. */
export function pieces(rows: readonly ICellRow[], left: Which, right: Which): Piece[] {
  const found: Piece[] = [];
  let run: ICellPair[] = [];
  const end = (): void => {
    if (run.length > 0) {
      found.push({ kind: 'same', cells: run });
      run = [];
    }
  };
  rows.forEach((row, number) => {
    const cell: ICellPair = {
      number,
      status: row.status,
      left: row[left],
      right: row[right],
      canTake: row.teachers !== null && (row.status === 'changed' || row.status === 'teachers')
    };
    if (cell.left === null && cell.right === null) {
      return;
    }
    if (
      cell.left?.source === cell.right?.source &&
      cell.left?.type === cell.right?.type &&
      row.status !== 'note'
    ) {
      run.push(cell);
    } else {
      end();
      found.push({ kind: 'different', cell });
    }
  });
  end();
  return found;
}
