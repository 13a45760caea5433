//! Counting: encoded columns to cells, group by group, in one pass over each column.
//!
//! What is counted is what `detectors.tally` and `detectors.moments` say; tests compare the two.

use std::ops::Range;

/// Where the numbers of one column fall: a table over the bits of a float, then a walk over the edges.
///
/// The order of floats is that of their bits, signs aside. A slot of the table holds the number of edges that
/// lie at or below all of its values; from there it is a step or none to the cell.
pub struct Edges {
    edges: Vec<f64>, // ends with infinity, which no finite value passes
    slots: Vec<u8>,
    low: u64,
    shift: u32,
}

impl Edges {
    /// At most 255 finite and increasing edges.
    pub fn new(edges: &[f64]) -> Edges {
        let edges: Vec<f64> = edges.iter().map(|edge| edge + 0.0).collect(); // -0.0 is 0.0
        let low = edges.first().map_or(0, |&edge| ordered(edge));
        let range = edges.last().map_or(0, |&edge| ordered(edge)) - low;
        let size = (16 * edges.len() as u64).next_power_of_two();
        let mut shift = 0;
        while range >> shift >= size {
            shift += 1;
        }
        let below = |slot: u64| edges.partition_point(|&edge| ordered(edge) <= low + (slot << shift)) as u8;
        let slots = (0..=range >> shift).map(|slot| if slot == 0 { 0 } else { below(slot) }).collect();
        Edges { edges: edges.into_iter().chain([f64::INFINITY]).collect(), slots, low, shift }
    }

    /// The cell of a finite number: how many edges lie at or below it.
    #[inline]
    pub fn cell(&self, value: f64) -> usize {
        let slot = (ordered(value).saturating_sub(self.low) >> self.shift).min(self.slots.len() as u64 - 1);
        let cell = self.slots[slot as usize] as usize;
        let mut cell = cell + usize::from(value >= self.edges[cell]); // a step without a branch: most need no other
        while value >= self.edges[cell] {
            cell += 1;
        }
        cell
    }
}

/// Bits of a float that are ordered as floats are.
#[inline]
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    bits ^ (((bits as i64) >> 63) as u64 | 1 << 63)
}

/// Rows by group: `order[bounds[g]..bounds[g + 1]]` are the rows of group g; `None` where they lie so already.
pub struct Grouped {
    pub order: Option<Vec<u32>>,
    pub bounds: Vec<usize>,
}

impl Grouped {
    /// `None` for a group that is not in `-1..groups`; rows of -1 belong nowhere.
    pub fn new(group: &[i64], groups: usize) -> Option<Grouped> {
        let mut bounds = vec![0; groups + 1];
        let mut last = 0;
        let mut sorted = true;
        for &g in group {
            if g < -1 || g >= groups as i64 {
                return None;
            }
            sorted &= g >= last;
            last = g;
            if g >= 0 {
                bounds[g as usize + 1] += 1;
            }
        }
        for g in 0..groups {
            bounds[g + 1] += bounds[g];
        }
        if sorted {
            return Some(Grouped { order: None, bounds });
        }
        let mut next = bounds.clone();
        let mut order = vec![0; bounds[groups]];
        for (row, &g) in group.iter().enumerate() {
            if g >= 0 {
                order[next[g as usize]] = row as u32;
                next[g as usize] += 1;
            }
        }
        Some(Grouped { order: Some(order), bounds })
    }

    /// How many rows are in groups.
    pub fn len(&self) -> usize {
        self.bounds.last().copied().unwrap_or(0)
    }

    /// Append the rows of `members` to `rows`, in order.
    pub fn rows(&self, members: Range<usize>, rows: &mut Vec<u32>) {
        match &self.order {
            None => rows.extend(members.map(|row| row as u32)),
            Some(order) => rows.extend_from_slice(&order[members]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Edges, Grouped};

    fn by_counting(edges: &[f64], value: f64) -> usize {
        edges.iter().filter(|&&edge| value >= edge).count()
    }

    #[test]
    fn a_cell_is_the_number_of_edges_at_or_below() {
        let many: Vec<f64> = (0..250).map(|i| (f64::from(i) - 100.0).powi(3) / 7.0).collect();
        let wide = [-f64::MAX, -1e300, -5e-324, -0.0, 5e-324, 1.0, 1.0 + f64::EPSILON, 1e300, f64::MAX];
        for edges in [&many[..], &wide[..], &wide[3..4], &[][..]] {
            let table = Edges::new(edges);
            let mut values = vec![0.0, -0.0, 1e-310, f64::MIN_POSITIVE, f64::MAX, -f64::MAX];
            for &edge in edges {
                let bits = edge.to_bits();
                values.extend([bits.wrapping_sub(1), bits, bits + 1].map(f64::from_bits));
                values.extend([-edge, edge * 0.5, edge * 1.5, edge + 1.0]);
            }
            for value in values.into_iter().filter(|value| value.is_finite()) {
                assert_eq!(table.cell(value), by_counting(edges, value), "{value} in {edges:?}");
            }
        }
    }

    #[test]
    fn rows_of_groups_keep_their_order() {
        let grouped = Grouped::new(&[1, 0, -1, 1, 0], 2).unwrap();
        let mut rows = Vec::new();
        grouped.rows(0..4, &mut rows);
        assert_eq!((rows, grouped.bounds), (vec![1, 4, 0, 3], vec![0, 2, 4]));
        assert!(Grouped::new(&[0, 2], 2).is_none());
    }
}
