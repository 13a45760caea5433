//! Reading JSON text from left to right, eight bytes at a time where that can be done.
//!
//! Every function answers `None` for what it is not certain of: then Python looks at the record.

/// Bytes with the same value in all eight places.
const fn all(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

const HIGH: u64 = all(0x80);

/// The eight bytes from `at` on, the first one lowest; zeros behind the end.
#[inline(always)]
pub fn word(text: &[u8], at: usize) -> u64 {
    match text.get(at..at + 8) {
        Some(bytes) => u64::from_le_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]),
        None => text.get(at..).unwrap_or(&[]).iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Place of its first byte.
    pub start: usize,
    /// Bytes up to the closing quote.
    pub len: usize,
    /// Whether there is a backslash in it.
    pub escaped: bool,
}

/// A place in the text of one record.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    /// The record.
    pub text: &'a [u8],
    /// The next byte to read.
    pub at: usize,
}

impl<'a> Cursor<'a> {
    /// Start of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Cursor { text, at: 0 }
    }

    /// The next byte, 0 at the end: no JSON text has one.
    #[inline(always)]
    pub fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Pass `byte` if it is next.
    #[inline(always)]
    pub fn pass(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    /// Pass white space and return the byte behind it, which is not passed.
    #[inline(always)]
    pub fn next(&mut self) -> u8 {
        loop {
            let byte = self.peek();
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
    }

    /// Pass a colon between a key and its value.
    #[inline(always)]
    pub fn colon(&mut self) -> Option<()> {
        if self.pass(b':') || (self.next() == b':' && self.pass(b':')) {
            Some(())
        } else {
            None
        }
    }

    /// Pass what stands behind a value of an object or array that ends with `end`: true at its end.
    #[inline(always)]
    pub fn ended(&mut self, end: u8) -> Option<bool> {
        let byte = self.next();
        self.at += 1;
        if byte == b',' {
            Some(false)
        } else if byte == end {
            Some(true)
        } else {
            None
        }
    }

    /// Pass `word`, a literal.
    #[inline(always)]
    pub fn literal(&mut self, word: &[u8]) -> Option<()> {
        let found = self.text.get(self.at..self.at + word.len())? == word;
        self.at += word.len();
        if found {
            Some(())
        } else {
            None
        }
    }

    /// Pass a string and its closing quote; the opening one has been passed.
    #[inline(always)]
    pub fn string(&mut self) -> Option<Text> {
        let text = (Cursor { ..*self }).closed()?;
        self.at += text.len + 1;
        Some(text)
    }

    // By value, as all that is not inlined: a place that is lent to a function cannot stay in a register.
    fn closed(mut self) -> Option<Text> {
        let start = self.at;
        let mut seen = 0;
        loop {
            let word = word(self.text, self.at);
            let quote = word ^ all(b'"');
            let slash = word ^ all(b'\\');
            let stops = (quote.wrapping_sub(all(1)) & !quote)
                | (slash.wrapping_sub(all(1)) & !slash)
                | (word.wrapping_sub(all(b' ')) & !word);
            let stops = stops & HIGH;
            if stops == 0 {
                seen |= word;
                self.at += 8;
                continue;
            }
            let bits = stops.trailing_zeros() & !7;
            seen |= word & ((1u64 << bits) - 1);
            self.at += bits as usize / 8;
            return match self.peek() {
                b'"' => self.finished(start, seen & HIGH != 0, false),
                b'\\' => self.escaped(start, seen & HIGH != 0),
                _ => None,
            };
        }
    }

    /// Go on behind a string's first backslash.
    #[cold]
    fn escaped(mut self, start: usize, mut wide: bool) -> Option<Text> {
        loop {
            match self.peek() {
                b'"' => return self.finished(start, wide, true),
                b'\\' => self.escape()?,
                byte if byte < b' ' => return None,
                byte => {
                    wide |= byte >= 0x80;
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let kind = *self.text.get(self.at + 1)?;
        self.at += 2;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                // Halves of characters have rules of their own.
                let half = matches!(digits[0], b'd' | b'D') && digits[1] >= b'8';
                if digits.iter().all(u8::is_ascii_hexdigit) && !half {
                    Some(())
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn finished(self, start: usize, wide: bool, escaped: bool) -> Option<Text> {
        let bytes = &self.text[start..self.at];
        if wide && std::str::from_utf8(bytes).is_err() {
            return None;
        }
        Some(Text { start, len: bytes.len(), escaped })
    }

    /// The bytes of a string without escapes.
    pub fn bytes(&self, text: Text) -> &'a [u8] {
        &self.text[text.start..text.start + text.len]
    }
}

/// Append what `escaped` says; a [`Cursor`] has checked its escapes.
#[cold]
pub fn unescape(escaped: &[u8], out: &mut Vec<u8>) {
    let mut bytes = escaped.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'u') => {
                let digits = bytes.by_ref().take(4);
                let code =
                    digits.fold(0, |code, &digit| code << 4 | (digit as char).to_digit(16).unwrap_or(0));
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Some(&other) => out.push(other),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Option<(String, bool)> {
        let mut cursor = Cursor::new(text.as_bytes());
        let found = cursor.string()?;
        Some((String::from_utf8_lossy(cursor.bytes(found)).into_owned(), found.escaped))
    }

    #[test]
    fn strings_end_at_their_quote() {
        for length in 0..40 {
            let inside = "ab\u{e9}d".repeat(length);
            assert_eq!(string(&format!("{inside}\"rest\\")), Some((inside, false)));
        }
    }

    #[test]
    fn escapes_are_checked_and_told() {
        assert_eq!(string(r#"a\"b\\\u00e9"x"#), Some((r#"a\"b\\\u00e9"#.into(), true)));
        for bad in
            [r#"\x""#, r#"\u12g4""#, r#"\ud800""#, r#"\"#, r#"\u12"#, "\u{1f}\"", "12345678\n\"", "abc"]
        {
            assert_eq!(string(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_not_certain() {
        for bad in [&b"\xff\""[..], b"123456789\xed\xa0\x80\"", b"\xc3\"", b"\\n\xff\""] {
            assert_eq!(Cursor::new(bad).string(), None);
        }
    }

    #[test]
    fn words_are_padded_with_zeros() {
        assert_eq!(word(b"ab", 0), 0x6261);
        assert_eq!(word(b"123456789", 1), u64::from_le_bytes(*b"23456789"));
        assert_eq!(word(b"ab", 2), 0);
        assert_eq!(word(b"ab", 9), 0);
    }

    #[test]
    fn escapes_become_what_they_stand_for() {
        let mut out = Vec::new();
        unescape(br#"a\"b\\\/\b\f\n\r\t\u00e9\u20ACz"#, &mut out);
        assert_eq!(out, "a\"b\\/\u{8}\u{c}\n\r\t\u{e9}\u{20ac}z".as_bytes());
    }
}
