//! Counts of one pane in as few bytes as its rows allow, which are those of its stored form: the panes of a
//! thousand models fit the caches.

use crate::counts::{packed_into, width_of, Numbers};
use std::ops::Range;

/// Largest score.
pub const LARGEST_SCORE: i16 = 40;
/// Largest product of two scores.
const LARGEST: u64 = 40 * 40;

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

/// Scores that one register of every processor holds.
const LANES: usize = 8;

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

    /// Append the stored form: that of `detectors.Counts`. Returns what [`packed_into`] does.
    pub fn pack(&self, bytes: &mut Vec<u8>) -> (usize, u32) {
        let sums = self.sums.as_ref().map(|sums| sums as &dyn Numbers);
        packed_into(bytes, self.rows, self.columns as u32, &self.cells, sums)
    }

    /// Add 1 to each of these cells, which are numbered through all columns; one that is not there counts nowhere.
    pub fn count(&mut self, cells: &[u32]) {
        of_cells!(&mut self.cells, held => {
            for &cell in cells {
                if let Some(count) = held.get_mut(cell as usize) {
                    *count = count.plus(1);
                }
            }
        });
    }

    /// Add the products of all pairs of the rows `members`. The scores of a column begin `apart` from those of
    /// the one before; what `room` holds is written over.
    pub fn multiply(&mut self, scores: &[i16], apart: usize, members: Range<usize>, room: &mut Products) {
        if let Some(sums) = &mut self.sums {
            for start in members.clone().step_by(LANES) {
                room.multiply(scores, apart, start..members.end.min(start + LANES));
                of_sums!(sums, sums => {
                    for (sum, &product) in sums.iter_mut().zip(&room.products) {
                        *sum = sum.plus(i64::from(product));
                    }
                });
            }
        }
    }
}

/// Products of all pairs of a few rows.
#[derive(Debug, Default)]
pub struct Products {
    columns: Vec<[i16; LANES]>,
    products: Vec<i32>,
}

impl Products {
    /// Make room for the pairs of so many columns.
    pub fn fit(&mut self, columns: usize) {
        self.columns.resize(columns, [0; LANES]);
        self.products.resize(columns * columns.saturating_sub(1) / 2, 0);
    }

    fn multiply(&mut self, scores: &[i16], apart: usize, members: Range<usize>) {
        for (lanes, scores) in self.columns.iter_mut().zip(scores.chunks(apart)) {
            *lanes = [0; LANES];
            for (lane, &score) in lanes.iter_mut().zip(&scores[members.clone()]) {
                *lane = score;
            }
        }
        let mut products = self.products.iter_mut();
        let mut rest = &self.columns[..];
        while let [left, others @ ..] = rest {
            for (right, product) in others.iter().zip(&mut products) {
                *product = dot(left, right);
            }
            rest = others;
        }
    }
}

/// Sum of the products of two columns' scores; neighbours first, as processors multiply them.
#[inline]
fn dot(left: &[i16; LANES], right: &[i16; LANES]) -> i32 {
    let product = |lane: usize| i32::from(left[lane]) * i32::from(right[lane]);
    let mut sums = [0; LANES / 2];
    for (lane, sum) in sums.iter_mut().enumerate() {
        *sum = product(2 * lane) + product(2 * lane + 1);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::{Compact, Products};

    fn one_cell(rows: usize) -> Compact {
        let mut counts = Compact::new(1, 2, Some(1));
        counts.take(rows as u64);
        counts.count(&(0..rows as u32).map(|row| row % 2).collect::<Vec<_>>());
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
    fn products_are_whole_where_all_scores_are_the_largest() {
        let mut room = Products::default();
        for (rows, score) in [0, 1, 7, 8, 9, 10_000].iter().flat_map(|&rows| [(rows, 40), (rows, -40)]) {
            let scores = [vec![40i16; rows + 5], vec![score; rows + 5]].concat();
            let mut counts = Compact::new(1, 2, Some(1));
            counts.take(rows as u64);
            room.fit(9); // of another shape before
            room.fit(2);
            counts.multiply(&scores, rows + 5, 3..3 + rows, &mut room);
            assert_eq!(counts.sums(), Some(vec![40 * i64::from(score) * rows as i64]));
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
