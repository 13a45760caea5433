//! Counts of one pane in as few bytes as its rows allow, which are those of its stored form: the panes of a
//! thousand models fit the caches.

use std::ops::Range;

use crate::counts::{packed_into, width_of, Numbers};
use crate::tally::{dot, Grouped};

/// Largest product of two scores.
const LARGEST: u64 = 40 * 40;
/// Rows of a group up to which products are added row by row: a sum over so few rows is not worth its start.
const FEW: usize = 24;

/// A count, or a sum of products.
pub trait Number: Copy {
    /// With `more` added.
    #[must_use]
    fn plus(self, more: i64) -> Self;
    /// As the widest kind.
    fn wide(self) -> i64;
}

macro_rules! numbers {
    ($($kind:ty),*) => {$(
        impl Number for $kind {
            #[inline]
            fn plus(self, more: i64) -> Self {
                self.wrapping_add(more as $kind)
            }
            #[inline]
            fn wide(self) -> i64 {
                self as i64
            }
        }
    )*};
}
numbers!(u8, u16, u32, i32, i64);

/// Cells of all columns, each wide enough for the rows.
#[derive(Debug)]
pub enum Cells {
    /// Up to 255 rows.
    One(Vec<u8>),
    /// Up to 65,535.
    Two(Vec<u16>),
    /// Up to 2^32 - 1.
    Four(Vec<u32>),
    /// More.
    Eight(Vec<i64>),
}

/// Sums of the products of all pairs.
#[derive(Debug)]
pub enum Sums {
    /// Of so few rows that 32 bits do.
    Four(Vec<i32>),
    /// Of more.
    Eight(Vec<i64>),
}

macro_rules! of_cells {
    ($cells:expr, $inner:ident => $do:expr) => {
        match $cells {
            Cells::One($inner) => $do,
            Cells::Two($inner) => $do,
            Cells::Four($inner) => $do,
            Cells::Eight($inner) => $do,
        }
    };
}

macro_rules! of_sums {
    ($sums:expr, $inner:ident => $do:expr) => {
        match $sums {
            Sums::Four($inner) => $do,
            Sums::Eight($inner) => $do,
        }
    };
}

impl Cells {
    fn width(&self) -> usize {
        match self {
            Cells::One(_) => 1,
            Cells::Two(_) => 2,
            Cells::Four(_) => 4,
            Cells::Eight(_) => 8,
        }
    }

    fn widen(&mut self, width: usize) {
        if width <= self.width() {
            return;
        }
        let wide = self.wide();
        *self = match width {
            2 => Cells::Two(wide.into_iter().map(|cell| cell as u16).collect()),
            4 => Cells::Four(wide.into_iter().map(|cell| cell as u32).collect()),
            _ => Cells::Eight(wide),
        };
    }

    fn wide(&self) -> Vec<i64> {
        of_cells!(self, cells => cells.iter().map(|cell| cell.wide()).collect())
    }
}

impl Sums {
    fn wide(&self) -> Vec<i64> {
        of_sums!(self, sums => sums.iter().map(|sum| sum.wide()).collect())
    }

    /// `wide` in 32 bits, where the sums of so many rows fit.
    fn of(wide: Vec<i64>, rows: u64) -> Sums {
        if fits_four(rows) && wide.iter().all(|sum| sum.unsigned_abs() <= rows * LARGEST) {
            Sums::Four(wide.into_iter().map(|sum| sum as i32).collect())
        } else {
            Sums::Eight(wide)
        }
    }
}

fn fits_four(rows: u64) -> bool {
    rows < (1 << 31) / LARGEST
}

impl Numbers for Cells {
    fn count(&self) -> usize {
        of_cells!(self, cells => cells.len())
    }
    fn signed_width(&self) -> usize {
        self.width()
    }
    fn write(&self, bytes: &mut Vec<u8>, width: usize) {
        match self {
            Cells::One(cells) if width == 1 => bytes.extend_from_slice(cells),
            _ => of_cells!(self, cells => cells.write(bytes, width)),
        }
    }
}

impl Numbers for Sums {
    fn count(&self) -> usize {
        of_sums!(self, sums => sums.len())
    }
    fn signed_width(&self) -> usize {
        of_sums!(self, sums => sums.signed_width())
    }
    fn write(&self, bytes: &mut Vec<u8>, width: usize) {
        of_sums!(self, sums => sums.write(bytes, width));
    }
}

/// Counts of one pane.
#[derive(Debug)]
pub struct Compact {
    rows: u64,
    columns: usize,
    cells: Cells,
    sums: Option<Sums>,
}

impl Compact {
    /// Of no rows; `pairs` are watched, if any.
    pub fn new(columns: usize, width: usize, pairs: Option<usize>) -> Compact {
        let sums = pairs.map(|pairs| Sums::Four(vec![0; pairs]));
        Compact { rows: 0, columns, cells: Cells::One(vec![0; columns * width]), sums }
    }

    /// How many rows were counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// All cells, column by column.
    pub fn cells(&self) -> Vec<i64> {
        self.cells.wide()
    }

    /// Sums of the products of all pairs; `None` where they are not watched, or void.
    pub fn sums(&self) -> Option<Vec<i64>> {
        self.sums.as_ref().map(Sums::wide)
    }

    /// How many sums there are.
    pub fn pairs(&self) -> usize {
        self.sums.as_ref().map_or(0, Numbers::count)
    }

    /// Whether columns, cells and pairs are as many as these.
    pub fn has_shape(&self, columns: usize, cells: usize, pairs: usize) -> bool {
        let mine = self.sums.as_ref().map_or(pairs, Numbers::count);
        (self.columns, self.cells.count(), mine) == (columns, cells, pairs)
    }

    /// Take `rows` more: all that is held gets as wide as they need.
    pub fn take(&mut self, rows: u64) {
        self.rows += rows;
        self.cells.widen(width_of(self.rows));
        if let Some(Sums::Four(sums)) = &self.sums {
            if !fits_four(self.rows) {
                self.sums = Some(Sums::Eight(sums.iter().map(|sum| sum.wide()).collect()));
            }
        }
    }

    /// Add other counts of as many cells. Sums are void where one of the two has none, but is not empty.
    pub fn merge(&mut self, rows: u64, cells: &[i64], sums: Option<&[i64]>) {
        let held = self.rows;
        self.take(rows);
        of_cells!(&mut self.cells, mine => {
            mine.iter_mut().zip(cells).for_each(|(cell, &more)| *cell = cell.plus(more));
        });
        let joint = match (self.sums.take(), sums) {
            (Some(mine), Some(more)) => {
                let both = mine.wide().into_iter().zip(more).map(|(sum, &more)| sum.plus(more));
                Some(Sums::of(both.collect(), self.rows))
            }
            (None, Some(more)) if held == 0 => Some(Sums::of(more.to_vec(), self.rows)),
            (Some(mine), None) if rows == 0 => Some(mine),
            _ => None,
        };
        self.sums = joint;
    }

    /// Append the stored form: that of `detectors.Counts`.
    pub fn pack(&self, bytes: &mut Vec<u8>) {
        let sums = self.sums.as_ref().map(|sums| sums as &dyn Numbers);
        packed_into(bytes, self.rows, self.columns as u32, &self.cells, sums);
    }

    /// Count rows of one column, whose cells are `place`, and note the scores of their cells.
    #[inline]
    pub fn count<'s>(
        &mut self,
        place: Range<usize>,
        (grouped, members): (&Grouped, Range<usize>),
        cell: impl Fn(usize) -> usize,
        table: Option<&[i16]>,
        scores: &mut impl Iterator<Item = &'s mut i16>,
    ) {
        of_cells!(&mut self.cells, cells => {
            let counts = &mut cells[place];
            match table {
                None => grouped.rows(members, |row| {
                    let cell = cell(row);
                    counts[cell] = counts[cell].plus(1);
                }),
                Some(table) => grouped.rows(members, |row| {
                    let cell = cell(row);
                    counts[cell] = counts[cell].plus(1);
                    if let Some(score) = scores.next() {
                        *score = table[cell];
                    }
                }),
            }
        });
    }

    /// Add the products of all pairs; `scores` are those of the rows `members` of each of `columns` columns,
    /// which begin `apart` from each other.
    pub fn multiply(&mut self, scores: &[i16], columns: usize, apart: usize, members: Range<usize>) {
        if let Some(sums) = &mut self.sums {
            of_sums!(sums, sums => multiply(sums, scores, columns, apart, members));
        }
    }
}

fn multiply<T: Number>(sums: &mut [T], scores: &[i16], columns: usize, apart: usize, members: Range<usize>) {
    let column = |slot: usize| &scores[slot * apart + members.start..slot * apart + members.end];
    if members.len() > FEW {
        let pairs = (0..columns).flat_map(|left| (left + 1..columns).map(move |right| (left, right)));
        for (sum, (left, right)) in sums.iter_mut().zip(pairs) {
            *sum = sum.plus(dot(column(left), column(right)));
        }
        return;
    }
    let mut row = vec![0i16; columns];
    for member in members {
        for (slot, score) in row.iter_mut().enumerate() {
            *score = scores[slot * apart + member];
        }
        let mut rest = &mut sums[..];
        for left in 0..columns {
            let (mine, others) = rest.split_at_mut((columns - left - 1).min(rest.len()));
            rest = others;
            for (sum, &right) in mine.iter_mut().zip(&row[left + 1..]) {
                *sum = sum.plus(i64::from(i32::from(row[left]) * i32::from(right)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Compact;
    use crate::tally::Grouped;

    fn one_cell(rows: usize) -> Compact {
        let grouped = Grouped::new(&vec![0; rows], 1).unwrap();
        let mut counts = Compact::new(1, 2, Some(1));
        counts.take(rows as u64);
        counts.count(0..2, (&grouped, 0..rows), |row| row % 2, None, &mut std::iter::empty());
        counts
    }

    #[test]
    fn cells_grow_with_the_rows() {
        for rows in [0, 254, 255, 256, 511, 65_535, 65_536, 131_072] {
            let counts = one_cell(rows);
            assert_eq!(counts.cells(), [(rows as i64 + 1) / 2, rows as i64 / 2]);
        }
        let mut counts = one_cell(100);
        counts.merge(1 << 33, &[1 << 33, 0], Some(&[7]));
        assert_eq!((counts.rows(), counts.cells()), ((1 << 33) + 100, vec![(1 << 33) + 50, 50]));
        assert_eq!(counts.sums(), Some(vec![7]));
    }

    #[test]
    fn products_of_few_rows_and_of_many() {
        for rows in [1, 23, 24, 25, 1_000] {
            let scores: Vec<i16> = (0..3 * rows).map(|i| (i * 7 % 81) as i16 - 40).collect();
            let mut counts = Compact::new(1, 2, Some(3));
            counts.take(rows as u64);
            counts.multiply(&scores, 3, rows, 0..rows);
            let product = |left: usize, right: usize| -> i64 {
                (0..rows)
                    .map(|i| i64::from(scores[left * rows + i]) * i64::from(scores[right * rows + i]))
                    .sum()
            };
            assert_eq!(counts.sums(), Some(vec![product(0, 1), product(0, 2), product(1, 2)]));
        }
    }

    #[test]
    fn sums_are_void_beside_rows_without_them() {
        let mut counts = one_cell(3);
        counts.merge(0, &[0, 0], None);
        assert_eq!(counts.sums(), Some(vec![0]));
        counts.merge(2, &[2, 0], None);
        assert_eq!(counts.sums(), None);
        counts.merge(1, &[1, 0], Some(&[5]));
        assert_eq!((counts.rows(), counts.sums()), (6, None));
    }
}
