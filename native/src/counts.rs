//! Counts as stored bytes: what `detectors.counts` says they are; tests compare the two.

use crate::compact::Number;

const CELLS_ONLY: u16 = 1;
const WITH_MOMENTS: u16 = 2;

/// Numbers that are stored.
pub trait Numbers {
    /// How many.
    fn count(&self) -> usize;
    /// Bytes that each of them and its opposite fit into.
    fn signed_width(&self) -> usize;
    /// Append the low `width` bytes of each.
    fn write(&self, bytes: &mut Vec<u8>, width: usize);
}

impl<T: Number> Numbers for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn signed_width(&self) -> usize {
        let largest = self.iter().map(|number| number.wide().unsigned_abs()).max().unwrap_or(0);
        match largest {
            0..=0x7f => 1,
            0x80..=0x7fff => 2,
            0x8000..=0x7fff_ffff => 4,
            _ => 8,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>, width: usize) {
        let wide = self.iter().map(|number| number.wide());
        match width {
            1 => bytes.extend(wide.map(|number| number as u8)),
            2 => wide.for_each(|number| bytes.extend_from_slice(&(number as u16).to_le_bytes())),
            4 => wide.for_each(|number| bytes.extend_from_slice(&(number as u32).to_le_bytes())),
            _ => wide.for_each(|number| bytes.extend_from_slice(&number.to_le_bytes())),
        }
    }
}

/// Bytes of each count of so many rows.
pub fn width_of(rows: u64) -> usize {
    match rows {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// Append packed counts of `rows` rows: cells of `columns` columns, and sums of pairs where they are watched.
pub fn packed_into(
    bytes: &mut Vec<u8>,
    rows: u64,
    columns: u32,
    cells: &dyn Numbers,
    moments: Option<&dyn Numbers>,
) {
    let width = width_of(rows);
    bytes.reserve(48 + cells.count() * width + moments.map_or(0, |moments| moments.count() * 8));
    let version = if moments.is_some() { WITH_MOMENTS } else { CELLS_ONLY };
    let frame = bytes.len();
    bytes.extend_from_slice(b"DSCT");
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&[0; 12]); // checksum and length
    let start = bytes.len();
    bytes.extend_from_slice(&rows.to_le_bytes());
    bytes.extend_from_slice(&columns.to_le_bytes());
    let each = if columns == 0 { 0 } else { cells.count() / columns as usize };
    bytes.extend_from_slice(&(each as u32).to_le_bytes());
    bytes.push(width as u8);
    cells.write(bytes, width);
    if let Some(moments) = moments {
        let width = moments.signed_width();
        bytes.extend_from_slice(&(moments.count() as u32).to_le_bytes());
        bytes.push(width as u8);
        moments.write(bytes, width);
    }
    let (checksum, length) = (crc32(&bytes[start..]), (bytes.len() - start) as u64);
    bytes[frame + 6..frame + 10].copy_from_slice(&checksum.to_le_bytes());
    bytes[frame + 10..frame + 18].copy_from_slice(&length.to_le_bytes());
}

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut i = 0;
    while i < 256 {
        let mut step = 1;
        while step < 8 {
            let before: u32 = tables[step - 1][i];
            tables[step][i] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            step += 1;
        }
        i += 1;
    }
    tables
}

/// CRC-32 as of zlib, eight bytes at a step.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    let eights = bytes.chunks_exact(8);
    let rest = eights.remainder();
    for eight in eights {
        let low = crc ^ u32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]]);
        crc = TABLES[7][(low & 0xff) as usize]
            ^ TABLES[6][(low >> 8 & 0xff) as usize]
            ^ TABLES[5][(low >> 16 & 0xff) as usize]
            ^ TABLES[4][(low >> 24) as usize]
            ^ TABLES[3][eight[4] as usize]
            ^ TABLES[2][eight[5] as usize]
            ^ TABLES[1][eight[6] as usize]
            ^ TABLES[0][eight[7] as usize];
    }
    for &byte in rest {
        crc = crc >> 8 ^ TABLES[0][((crc ^ u32::from(byte)) & 0xff) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::{crc32, packed_into, Numbers};

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }

    #[test]
    fn numbers_take_the_bytes_they_need() {
        let width = |number: i64| vec![number].signed_width();
        assert_eq!([127, -127, 128, -128, 1 << 31, i64::MIN].map(width), [1, 1, 2, 2, 8, 8]);
        let size = |rows| {
            let mut bytes = Vec::new();
            packed_into(&mut bytes, rows, 1, &vec![0i64; 4], None);
            bytes.len()
        };
        let sizes = [255, 256, 65_535, 65_536, 1 << 32].map(size);
        assert_eq!(sizes, [39, 43, 43, 51, 67]);
    }
}
