//! The cells of a batch as matrices: block after block, each with a line for each column.

use std::ops::Range;

use crate::batch::{Block, Grouped};
use crate::rows::Row;

/// Cells of all blocks of a batch.
pub struct Matrices {
    /// Cells that are numbers.
    pub numbers: Vec<f64>,
    /// Cells that are codes.
    pub codes: Vec<i32>,
    /// Where the matrices of each block begin.
    pub begins: Vec<Begin>,
}

impl Matrices {
    /// Cells of a block of so many rows.
    pub fn cells(&self, block: usize, rows: usize) -> Option<BlockCells<'_>> {
        let begin = self.begins.get(block)?;
        let numbers = self.numbers.get(begin.numbers..begin.numbers + begin.shape.0 * rows)?;
        let codes = self.codes.get(begin.codes..begin.codes + begin.shape.1 * rows)?;
        Some(BlockCells { rows, numbers, codes })
    }
}

/// Where the matrices of a block begin, and how many lines they have.
#[derive(Clone, Copy)]
pub struct Begin {
    numbers: usize,
    codes: usize,
    shape: (usize, usize),
}

/// Cells of one block.
pub struct BlockCells<'s> {
    /// How many rows it has.
    pub rows: usize,
    numbers: &'s [f64],
    codes: &'s [i32],
}

impl<'s> BlockCells<'s> {
    /// Columns of numbers.
    pub fn numbers(&self, lines: Range<usize>) -> Option<&'s [f64]> {
        self.numbers.get(lines.start * self.rows..lines.end * self.rows)
    }

    /// Columns of codes.
    pub fn codes(&self, lines: Range<usize>) -> Option<&'s [i32]> {
        self.codes.get(lines.start * self.rows..lines.end * self.rows)
    }
}

/// The cells of all blocks; `width` tells how many a row has, and where they begin.
pub fn matrices<T: Copy + Default>(
    grouped: &Grouped,
    rows: &[Row],
    cells: &[T],
    width: impl Fn(&Block) -> (usize, fn(&Row) -> u32),
) -> Vec<T> {
    let size = |block: &Block| width(block).0 * (block.last - block.first);
    let mut out = vec![T::default(); grouped.blocks.iter().map(size).sum()];
    let mut rest = &mut out[..];
    for block in &grouped.blocks {
        let (cells_of_row, begin) = width(block);
        let (own, others) = rest.split_at_mut(size(block));
        grouped.transpose(block, rows, (cells, cells_of_row), begin, own);
        rest = others;
    }
    out
}

/// Where the matrices of each block begin.
pub fn begins(grouped: &Grouped, shape: impl Fn(&Block) -> (usize, usize)) -> Vec<Begin> {
    let (mut numbers, mut codes) = (0, 0);
    let begun = grouped.blocks.iter().map(|block| {
        let (rows, shape) = (block.last - block.first, shape(block));
        let begin = Begin { numbers, codes, shape };
        numbers += shape.0 * rows;
        codes += shape.1 * rows;
        begin
    });
    begun.collect()
}
