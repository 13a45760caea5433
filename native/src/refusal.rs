//! Records that are certainly no events, and why: most poison has been cut off, or never was text.
//!
//! Python would say the same, later. What it looks at first is looked at first here: how large a record is,
//! how deep it nests, its syntax.

use crate::cursor::Cursor;
use crate::plan::Limits;
use crate::skip::MAX_DEPTH;

/// Why a record is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It ends in the middle of an object, without a fault before.
    CutOff,
    /// It begins as no JSON does, and is not UTF-8 from this byte on.
    NoText(usize),
}

impl Refusal {
    /// The first byte that is not UTF-8; nothing where the end is missing.
    pub fn odd_byte(self) -> Option<usize> {
        match self {
            Refusal::CutOff => None,
            Refusal::NoText(byte) => Some(byte),
        }
    }
}

/// Why `text` is no event, where that is certain.
#[cold]
pub fn refusal(text: &[u8], limits: &Limits) -> Option<Refusal> {
    let brackets = text.iter().filter(|&byte| byte | 0x20 == b'{').count();
    if text.len() > limits.record_bytes || brackets > limits.depth.min(MAX_DEPTH) as usize {
        return None;
    }
    let utf8 = std::str::from_utf8(text);
    match *text.first()? {
        b'{' if utf8.is_ok() && is_cut_off(text) => Some(Refusal::CutOff),
        first if begins_a_value(first) => None,
        _ => utf8.err().map(|error| Refusal::NoText(error.valid_up_to())),
    }
}

/// Whether a JSON value may begin so, or white space before one; `NaN` and `Infinity` for those who take them.
fn begins_a_value(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'[' | b'{' | b'-' | b'+' | b'.')
        || byte.is_ascii_alphanumeric()
}

/// What there was of a part of a record.
enum Part {
    Whole,
    CutOff,
    Odd,
}

/// Whether `text`, an object of so many brackets as a [`MAX_DEPTH`] allows, ends too early.
fn is_cut_off(text: &[u8]) -> bool {
    let mut cursor = Cursor::new(text);
    let (mut open, mut opened): (u128, u32) = (0, 0);
    loop {
        let byte = cursor.next();
        if cursor.at == text.len() {
            return true;
        }
        let part = match byte {
            b'{' | b'[' => {
                cursor.at += 1;
                open = open << 1 | u128::from(byte == b'{');
                opened += 1;
                match cursor.next() {
                    end if end == byte + 2 => Part::Whole,
                    _ if byte == b'[' => continue,
                    _ => match key(&mut cursor) {
                        Part::Whole => continue,
                        part => part,
                    },
                }
            }
            b'"' => string(&mut cursor),
            _ => match cursor.skip(0) {
                Some(()) => Part::Whole,
                None => Part::Odd,
            },
        };
        match part {
            Part::Whole => {}
            Part::CutOff => return true,
            Part::Odd => return false,
        }
        // Behind a value, or before the end of an empty one.
        loop {
            let is_object = open & 1 == 1;
            let byte = cursor.next();
            if cursor.at == text.len() {
                return true;
            }
            cursor.at += 1;
            if byte == b',' {
                match if is_object { key(&mut cursor) } else { Part::Whole } {
                    Part::Whole => break,
                    Part::CutOff => return true,
                    Part::Odd => return false,
                }
            }
            if byte != if is_object { b'}' } else { b']' } {
                return false;
            }
            open >>= 1;
            opened -= 1;
            if opened == 0 {
                return false;
            }
        }
    }
}

/// Pass a key and its colon.
fn key(cursor: &mut Cursor) -> Part {
    match cursor.next() {
        b'"' => {}
        _ if cursor.at == cursor.text.len() => return Part::CutOff,
        _ => return Part::Odd,
    }
    match string(cursor) {
        Part::Whole => {}
        part => return part,
    }
    cursor.next();
    if cursor.at == cursor.text.len() {
        Part::CutOff
    } else if cursor.pass(b':') {
        Part::Whole
    } else {
        Part::Odd
    }
}

/// Pass a string that begins here.
fn string(cursor: &mut Cursor) -> Part {
    cursor.at += 1;
    if cursor.string().is_some() {
        return Part::Whole;
    }
    let mut rest = cursor.text[cursor.at..].iter();
    if rest.any(|&byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        Part::Odd
    } else {
        Part::CutOff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        record_bytes: 200,
        features: 9,
        string_bytes: 9,
        id_bytes: 9,
        depth: 5,
        min_ms: 0,
        max_ms: 9,
    };

    fn of(text: &[u8]) -> Option<Refusal> {
        refusal(text, &LIMITS)
    }

    #[test]
    fn an_object_that_ends_too_early_is_cut_off() {
        let whole = "{\"a\" : [1, -2.5 ,{\"b\":{}},[]],\"c\":\"d\u{e9}\" ,\"e\": true}";
        assert_eq!(of(whole.as_bytes()), None);
        for end in 1..whole.len() {
            let text = &whole.as_bytes()[..end];
            // Not certain: half a character, half a number, half a literal.
            let odd = std::str::from_utf8(text).is_err()
                || text.ends_with(b"-")
                || text.ends_with(b".")
                || [&b"t"[..], b"tr", b"tru"].iter().any(|half| text.ends_with(half));
            let expected = if odd { None } else { Some(Refusal::CutOff) };
            assert_eq!(of(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_has_a_fault_before_its_end_is_not_certain() {
        for text in [
            "{\"a\":1}}",
            "{\"a\":1} {",
            "{\"a\":1,}",
            "{\"a\":1x",
            "{\"a\" 1",
            "{a",
            "{\"a\":[1}",
            "{\"a\":{]",
            "{\"a\":\"\\",
            "{\"a\":\"\\u00",
            "{\"a\":\"\n",
            "{\"a\":01",
            "{\"a\":[[[[[",
            "[1,",
            "",
            " {",
            "tru",
        ] {
            assert_eq!(of(text.as_bytes()), None, "{text}");
        }
        assert_eq!(of(&[b'{'; 201]), None);
    }

    #[test]
    fn what_begins_as_no_json_may_be_no_text() {
        assert_eq!(of(b"\xff\x00"), Some(Refusal::NoText(0)));
        assert_eq!(of(b"\x00ab\xc3").and_then(Refusal::odd_byte), Some(3));
        for text in
            [&b"\x00ab"[..], b"1\xff", b"\"\xff", b"N\xff", b" \xff", b"{\xff", "\u{feff}{".as_bytes()]
        {
            assert_eq!(of(text), None, "{text:?}");
        }
        let deep = [&[0xff][..], &[b'['; 6]].concat();
        assert_eq!(of(&deep), None);
    }
}
