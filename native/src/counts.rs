//! Counts as stored bytes: what `detectors.counts` says they are; tests compare the two.

use std::sync::atomic::{AtomicU64, Ordering};

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
/// Returns where the part with a checksum starts, and the checksum: the rest goes up to the end.
pub fn packed_into(
    bytes: &mut Vec<u8>,
    rows: u64,
    columns: u32,
    cells: &dyn Numbers,
    moments: Option<&dyn Numbers>,
) -> (usize, u32) {
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
    (start, checksum)
}

/// The polynomial of CRC-32, x^0 in the highest bit.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// Words that are taken in turns, each into a checksum of its own: a processor looks up all of them at once.
const BRAIDS: usize = 4;
const WORD: usize = 8;
const BLOCK: usize = BRAIDS * WORD;

/// The checksum of one byte, by its place in a word.
type Tables = [[u32; 256]; WORD];

static NEAR: Tables = tables(0);
/// With the words of the other braids behind it.
static FAR: Tables = tables(BLOCK - WORD);

/// Of a byte with `behind` bytes of zeros behind its word: the last byte of a word comes first.
const fn tables(behind: usize) -> Tables {
    let mut tables = [[0; 256]; WORD];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 * (behind + WORD) {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
            if bit > 8 * behind && bit % 8 == 0 {
                tables[bit / 8 - behind - 1][byte] = crc;
            }
        }
        byte += 1;
    }
    tables
}

/// The checksum behind a word, into which the one before it is mixed.
#[inline]
fn of_word(tables: &Tables, word: u64) -> u32 {
    let bytes = word.to_le_bytes();
    tables[7][bytes[0] as usize]
        ^ tables[6][bytes[1] as usize]
        ^ tables[5][bytes[2] as usize]
        ^ tables[4][bytes[3] as usize]
        ^ tables[3][bytes[4] as usize]
        ^ tables[2][bytes[5] as usize]
        ^ tables[1][bytes[6] as usize]
        ^ tables[0][bytes[7] as usize]
}

fn words(block: &[u8]) -> [u64; BRAIDS] {
    let mut words = [0; BRAIDS];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(WORD)) {
        let mut eight = [0; WORD];
        eight.copy_from_slice(bytes);
        *word = u64::from_le_bytes(eight);
    }
    words
}

/// CRC-32 as of zlib, by its way of braids.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    let mut blocks = bytes.chunks_exact(BLOCK);
    let rest = blocks.remainder();
    if let Some(last) = blocks.next_back() {
        let mut braids = [0; BRAIDS];
        braids[0] = crc;
        for block in blocks {
            for (braid, word) in braids.iter_mut().zip(words(block)) {
                *braid = of_word(&FAR, word ^ u64::from(*braid));
            }
        }
        crc = 0;
        for (braid, word) in braids.into_iter().zip(words(last)) {
            crc = of_word(&NEAR, word ^ u64::from(braid ^ crc));
        }
    }
    for &byte in rest {
        crc = crc >> 8 ^ NEAR[0][((crc ^ u32::from(byte)) & 0xff) as usize];
    }
    !crc
}

/// x to the powers 1, 2, 4, 8, ... modulo the polynomial.
static SQUARES: [u32; 32] = squares();

const fn squares() -> [u32; 32] {
    let mut squares = [1 << 30; 32];
    let mut i = 1;
    while i < 32 {
        squares[i] = product(squares[i - 1], squares[i - 1]);
        i += 1;
    }
    squares
}

const fn product(one: u32, other: u32) -> u32 {
    let (mut product, mut other, mut bit) = (0, other, 32);
    while bit > 0 {
        bit -= 1;
        if one >> bit & 1 == 1 {
            product ^= other;
        }
        other = if other & 1 == 1 { other >> 1 ^ POLYNOMIAL } else { other >> 1 };
    }
    product
}

/// Length and power of the last call of [`crc32_of_both`]: panes of one kind are as long as each other.
static LAST: AtomicU64 = AtomicU64::new(1 << 31);

/// The checksum of bytes and `length` more behind them, of the two checksums.
pub fn crc32_of_both(first: u32, second: u32, length: u32) -> u32 {
    let last = LAST.load(Ordering::Relaxed);
    let mut power = last as u32;
    if last >> 32 != u64::from(length) {
        power = 1 << 31;
        for (bit, &square) in SQUARES.iter().cycle().skip(3).take(32).enumerate() {
            if length >> bit & 1 == 1 {
                power = product(square, power);
            }
        }
        LAST.store(u64::from(length) << 32 | u64::from(power), Ordering::Relaxed);
    }
    product(power, first) ^ second
}

#[cfg(test)]
mod tests {
    use super::{crc32, crc32_of_both, packed_into, Numbers};

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }

    #[test]
    fn the_checksum_of_any_length_is_that_of_its_bits() {
        let slowly = |bytes: &[u8]| {
            !bytes.iter().fold(!0u32, |crc, &byte| {
                (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
            })
        };
        let bytes: Vec<u8> = (0..300u32).map(|i| ((i * i) >> 3) as u8 ^ i as u8).collect();
        for length in 0..bytes.len() {
            assert_eq!(crc32(&bytes[..length]), slowly(&bytes[..length]), "{length} bytes");
        }
    }

    #[test]
    fn checksums_of_two_parts_make_that_of_both() {
        let bytes: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(i) >> 5) as u8).collect();
        for (first, length) in [(0, 0), (0, 5), (7, 0), (34, 1_496), (34, 1_496), (1, 65_536), (9, 4_711)] {
            let (one, other) = bytes[..first + length].split_at(first);
            let both = crc32_of_both(crc32(one), crc32(other), length as u32);
            assert_eq!(both, crc32(&bytes[..first + length]), "{first} and {length} bytes");
        }
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
