//! Counting in tiles: of some rows all cells are found first, column by column, then counted row by row.
//!
//! No loop is as long as a group of rows: a group of six, as a thousand models have them, costs a row little
//! more than one of a thousand.

use std::ops::Range;

use crate::compact::{Compact, Products};
use crate::tally::Grouped;

/// Rows of a tile: what is known of them stays in the nearest cache.
const ROWS: usize = 64;

/// Cells of some rows, one row after another, and their scores, one column after another.
#[derive(Debug, Default)]
pub struct Tile {
    rows: Vec<u32>,
    columns: usize,
    cells: Vec<u32>,
    scores: Vec<i16>,
    products: Products,
}

impl Tile {
    /// Take the shape of a tally of so many columns, `scored` of them with pairs that are watched.
    pub fn fit(&mut self, columns: usize, scored: usize) {
        self.columns = columns;
        self.scores.resize(scored * ROWS, 0);
        self.products.fit(scored);
    }

    /// Count all `grouped` rows into the targets of their groups; `place` finds the cells of a tile.
    pub fn count(&mut self, grouped: &Grouped, targets: &mut [&mut Compact], place: impl Fn(&mut Tile)) {
        let rows = grouped.len();
        let mut group = 0;
        for start in (0..rows).step_by(ROWS) {
            let end = rows.min(start + ROWS);
            self.begin(grouped, start..end);
            place(self);
            let mut first = start;
            while first < end {
                while grouped.bounds[group + 1] <= first {
                    group += 1;
                }
                let last = end.min(grouped.bounds[group + 1]);
                self.add(first - start..last - start, targets[group]);
                first = last;
            }
        }
    }

    fn begin(&mut self, grouped: &Grouped, members: Range<usize>) {
        self.rows.clear();
        grouped.rows(members, &mut self.rows);
        self.cells.resize(self.rows.len() * self.columns, 0);
    }

    /// Note the cells of column `j`, the first of which is number `first` of all columns' cells.
    #[inline]
    pub fn place(&mut self, j: usize, first: usize, cell: impl Fn(usize) -> usize) {
        for (cells, &row) in self.cells.chunks_exact_mut(self.columns).zip(&self.rows) {
            cells[j] = (first + cell(row as usize)) as u32;
        }
    }

    /// Note the cells of a column of which pairs are watched, and the scores that `table` has of them.
    #[inline]
    pub fn place_scored(
        &mut self,
        (j, first): (usize, usize),
        (slot, table): (usize, &[i16]),
        cell: impl Fn(usize) -> usize,
    ) {
        let cells = self.cells.chunks_exact_mut(self.columns).zip(&self.rows);
        for ((cells, &row), score) in cells.zip(&mut self.scores[slot * ROWS..]) {
            let cell = cell(row as usize);
            cells[j] = (first + cell) as u32;
            *score = table[cell];
        }
    }

    fn add(&mut self, rows: Range<usize>, target: &mut Compact) {
        target.count(&self.cells[rows.start * self.columns..rows.end * self.columns]);
        if !self.scores.is_empty() {
            target.multiply(&self.scores, ROWS, rows, &mut self.products);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tile;
    use crate::compact::Compact;
    use crate::tally::Grouped;

    const WIDTH: usize = 5;

    /// Cell of a row in a column.
    fn cell(row: usize, column: usize) -> usize {
        (row * 7 + row / 3 + column * 3) % WIDTH
    }

    fn score(cell: usize, column: usize) -> i16 {
        (cell as i16 * 17 + column as i16 * 5) % 81 - 40
    }

    fn counted(group: &[i64], groups: usize, columns: usize, scored: usize) -> Vec<(Vec<i64>, Vec<i64>)> {
        let grouped = Grouped::new(group, groups).unwrap();
        let pairs = scored * scored.saturating_sub(1) / 2;
        let mut counts: Vec<Compact> =
            (0..groups).map(|_| Compact::new(columns, WIDTH, Some(pairs))).collect();
        let mut targets: Vec<&mut Compact> = counts.iter_mut().collect();
        for (target, bounds) in targets.iter_mut().zip(grouped.bounds.windows(2)) {
            target.take((bounds[1] - bounds[0]) as u64);
        }
        let mut tile = Tile::default();
        tile.fit(columns + 3, scored + 9); // of another shape before
        tile.fit(columns, scored);
        tile.count(&grouped, &mut targets, |tile| {
            for column in 0..columns {
                let table: Vec<i16> = (0..WIDTH).map(|cell| score(cell, column)).collect();
                let found = |row| cell(row, column);
                if column < scored {
                    tile.place_scored((column, column * WIDTH), (column, &table), found);
                } else {
                    tile.place(column, column * WIDTH, found);
                }
            }
        });
        counts.iter().map(|counts| (counts.cells(), counts.sums().unwrap_or_default())).collect()
    }

    /// The same, said plainly.
    fn expected(group: &[i64], groups: usize, columns: usize, scored: usize) -> Vec<(Vec<i64>, Vec<i64>)> {
        let of_group = |number: usize| {
            let (mut cells, mut sums) = (vec![0; columns * WIDTH], Vec::new());
            let rows = || (0..group.len()).filter(|&row| group[row] == number as i64);
            for (row, column) in rows().flat_map(|row| (0..columns).map(move |column| (row, column))) {
                cells[column * WIDTH + cell(row, column)] += 1;
            }
            for (left, right) in
                (0..scored).flat_map(|left| (left + 1..scored).map(move |right| (left, right)))
            {
                let of = |row, column| i64::from(score(cell(row, column), column));
                sums.push(rows().map(|row| of(row, left) * of(row, right)).sum());
            }
            (cells, sums)
        };
        (0..groups).map(of_group).collect()
    }

    #[test]
    fn rows_of_all_groups_are_counted_where_they_belong() {
        let sizes = [0, 1, 2, 19, 20, 21, 63, 64, 65, 200, 1_000];
        for (rows, groups) in sizes.iter().flat_map(|&rows| [(rows, 1), (rows, 3), (rows, 50)]) {
            let sorted: Vec<i64> = (0..rows).map(|row| (row * groups / rows) as i64).collect();
            let mixed: Vec<i64> = (0..rows).map(|row| (row * 11 % (groups + 1)) as i64 - 1).collect();
            for group in [sorted, mixed] {
                for (columns, scored) in [(1, 0), (3, 1), (4, 2), (4, 4), (11, 9), (17, 17)] {
                    let found = counted(&group, groups, columns, scored);
                    assert_eq!(
                        found,
                        expected(&group, groups, columns, scored),
                        "{rows} rows, {groups} groups"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_counted_of_no_columns() {
        assert_eq!(counted(&[0, 0, 1], 2, 0, 0), [(vec![], vec![]), (vec![], vec![])]);
    }
}
