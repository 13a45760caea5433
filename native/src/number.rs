//! JSON numbers: exact where that is quick, correctly rounded always.

use crate::cursor::{word, Cursor};

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Integers up to here are floats without rounding.
pub const EXACT: u64 = 1 << 53;
const MAX_DIGITS: usize = 19;
const TENS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const MAX_BYTES: usize = 64;

/// A number: finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// Nearest float.
    pub value: f64,
    /// Whether it is written without fraction and exponent.
    pub whole: bool,
}

impl Cursor<'_> {
    /// Pass the number that starts here. Not certain of one of 20 digits, or beyond a float.
    #[inline(always)]
    pub fn number(&mut self) -> Option<Number> {
        let start = self.at;
        let negative = self.pass(b'-');
        let first = self.at;
        let mut digits = 0;
        self.digits(&mut digits);
        let whole_digits = self.at - first;
        if whole_digits == 0 || (whole_digits > 1 && self.text[first] == b'0') {
            return None;
        }
        let byte = self.peek();
        if byte != b'.' && byte | 0x20 != b'e' {
            if whole_digits > MAX_DIGITS {
                return None;
            }
            // `-0` is an integer without a sign.
            let value = if negative && digits != 0 { -(digits as f64) } else { digits as f64 };
            return Some(Number { value, whole: true });
        }
        let mut fraction = 0;
        if self.pass(b'.') {
            let point = self.at;
            self.digits(&mut digits);
            fraction = self.at - point;
            if fraction == 0 {
                return None;
            }
        }
        let exponent = match self.peek() | 0x20 {
            b'e' => {
                let (exponent, behind) = (Cursor { ..*self }).exponent()?;
                self.at = behind;
                exponent
            }
            _ => 0,
        };
        let size = whole_digits + fraction;
        let value = if size <= MAX_DIGITS { scaled(digits, exponent - fraction as i32) } else { None };
        let value = match value {
            Some(value) if negative => -value,
            Some(value) => value,
            None => (Cursor { ..*self }).rounded(start)?,
        };
        Some(Number { value, whole: false })
    }

    /// Pass digits, eight at a time: how many there are in a number is hard to guess for a processor.
    #[inline(always)]
    fn digits(&mut self, digits: &mut u64) {
        loop {
            let word = word(self.text, self.at) ^ 0x3030_3030_3030_3030;
            let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
            let count = others.trailing_zeros() / 8; // 8 of none
            self.at += count as usize;
            if count == 8 {
                *digits = digits.wrapping_mul(100_000_000).wrapping_add(eight(word));
                continue;
            }
            if count > 0 {
                let padded = word << (64 - 8 * count);
                *digits = digits.wrapping_mul(TENS[count as usize]).wrapping_add(eight(padded));
            }
            return;
        }
    }

    /// An exponent, and the place behind it.
    #[cold]
    fn exponent(mut self) -> Option<(i32, usize)> {
        self.at += 1;
        let negative = self.peek() == b'-';
        if negative || self.peek() == b'+' {
            self.at += 1;
        }
        let (first, mut digits) = (self.at, 0);
        self.digits(&mut digits);
        if !(1..=4).contains(&(self.at - first)) {
            return None;
        }
        Some((if negative { -(digits as i32) } else { digits as i32 }, self.at))
    }

    /// The number from `start` to here by the standard library, which rounds correctly.
    #[cold]
    fn rounded(self, start: usize) -> Option<f64> {
        let bytes = &self.text[start..self.at];
        let mantissa = bytes.split(|byte| byte | 0x20 == b'e').next()?;
        let digits = mantissa.iter().filter(|byte| byte.is_ascii_digit()).skip_while(|&&byte| byte == b'0');
        if bytes.len() > MAX_BYTES || digits.count() > MAX_DIGITS {
            return None;
        }
        let value: f64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
        if value.is_finite() {
            Some(value)
        } else {
            None
        }
    }
}

/// The number of eight digits, the first one lowest: pairs, then fours, then all of them.
#[inline(always)]
fn eight(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// `digits * 10 ** exponent` where both are floats without rounding, so that the result is rounded once.
#[inline(always)]
fn scaled(digits: u64, exponent: i32) -> Option<f64> {
    if digits > EXACT {
        return None;
    }
    match exponent {
        0..=22 => Some(digits as f64 * POWERS[exponent as usize]),
        -22..=-1 => Some(digits as f64 / POWERS[-exponent as usize]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<f64> {
        let mut cursor = Cursor::new(text.as_bytes());
        let number = cursor.number()?;
        assert_eq!(cursor.at, text.len(), "{text}");
        Some(number.value)
    }

    /// Not the quality of a generator, only spread.
    fn spread(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed ^ (*seed >> 29)
    }

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        let mut seed = 1;
        for _ in 0..200_000 {
            let float = f64::from_bits(spread(&mut seed));
            if !float.is_finite() {
                continue;
            }
            for text in
                [format!("{float:e}"), format!("{:.3}", float % 1e9), format!("{}", float % 1e3 + 0.5)]
            {
                let digits = text.bytes().filter(u8::is_ascii_digit).count();
                match read(&text) {
                    Some(found) => {
                        assert_eq!(found.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}")
                    }
                    None => assert!(digits > MAX_DIGITS, "{text}"),
                }
            }
            let whole = (spread(&mut seed) >> (seed % 60)) as i64;
            assert_eq!(read(&whole.to_string()), Some(whole as f64));
        }
    }

    #[test]
    fn hard_cases_are_rounded_once() {
        for text in [
            "9007199254740993",
            "9007199254740992.5",
            "1e23",
            "8.5e-323",
            "2.2250738585072011e-308",
            "5e-324",
        ] {
            assert_eq!(read(text), Some(text.parse().unwrap()), "{text}");
        }
        assert_eq!(read("-0").map(f64::to_bits), Some(0));
        assert_eq!(read("-0.0").map(f64::to_bits), Some((-0.0f64).to_bits()));
    }

    #[test]
    fn what_is_no_number_of_json_is_not_certain() {
        for bad in ["", "-", "01", "1.", ".5", "1e", "1e+", "-a", "1e999", "1e12345", "12345678901234567890"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
