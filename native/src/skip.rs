//! Passing values of which nothing is kept; their syntax is checked all the same.

use crate::cursor::Cursor;
use crate::plan::Limits;

/// Nesting that is followed; what is deeper is not certain, whatever the limit.
pub const MAX_DEPTH: u32 = 120;

impl Cursor<'_> {
    /// Pass any value that starts here, after white space. `depth` more objects or arrays may open in it.
    pub fn skip(&mut self, depth: u32) -> Option<()> {
        match self.next() {
            b'"' => {
                self.at += 1;
                self.string().map(|_| ())
            }
            b'{' | b'[' => self.skip_nested(depth.min(MAX_DEPTH)),
            _ => self.skip_plain(),
        }
    }

    /// The place behind the value that starts here.
    pub fn behind_value(mut self, depth: u32) -> Option<usize> {
        self.skip(depth)?;
        Some(self.at)
    }

    fn skip_plain(&mut self) -> Option<()> {
        match self.peek() {
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// One bit for each open object (1) or array (0), the innermost lowest: no stack to overflow.
    fn skip_nested(&mut self, depth: u32) -> Option<()> {
        let (mut open, mut opened): (u128, u32) = (0, 0);
        loop {
            // At a value.
            let byte = self.next();
            if byte == b'{' || byte == b'[' {
                self.at += 1;
                opened += 1;
                if opened > depth {
                    return None;
                }
                open = open << 1 | u128::from(byte == b'{');
                let end = byte + 2;
                if self.next() != end {
                    if byte == b'{' {
                        self.key()?;
                    }
                    continue;
                }
                self.at += 1;
                open >>= 1;
                opened -= 1;
            } else {
                self.skip(0)?;
            }
            // Behind a value.
            loop {
                if opened == 0 {
                    return Some(());
                }
                let object = open & 1 == 1;
                if !self.ended(if object { b'}' } else { b']' })? {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                open >>= 1;
                opened -= 1;
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        if self.next() != b'"' {
            return None;
        }
        self.at += 1;
        self.string()?;
        self.colon()
    }
}

/// Pass an object of which no key is kept.
pub fn pass_object(cursor: &mut Cursor, limits: &Limits, bounded: bool) -> Option<()> {
    if !opened(cursor)? {
        return Some(());
    }
    for count in 1.. {
        if (bounded && count > limits.features) || cursor.next() != b'"' {
            return None;
        }
        cursor.at += 1;
        cursor.string()?;
        cursor.colon()?;
        cursor.skip(limits.depth.checked_sub(2)?)?;
        if cursor.ended(b'}')? {
            break;
        }
    }
    Some(())
}

/// Pass the bracket of an object; tell whether something is in it.
#[inline(always)]
pub fn opened(cursor: &mut Cursor) -> Option<bool> {
    if !cursor.pass(b'{') {
        return None;
    }
    Some(!(cursor.next() == b'}' && cursor.pass(b'}')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str, depth: u32) -> bool {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip(depth).is_some() && cursor.next() == 0 && cursor.at == text.len()
    }

    #[test]
    fn values_are_passed() {
        for text in [
            "1",
            " true",
            "null ",
            "\"a\"",
            "[]",
            "{}",
            "[ ]",
            "{ }",
            "[1,2]",
            "[[],{}]",
            "{\"a\":[{\"b\":null}], \"c\" : -1.5e3}",
            "[ 1 , [ 2 ] , { \"a\" : { } } ]",
        ] {
            assert!(passes(text, 9), "{text}");
        }
    }

    #[test]
    fn broken_values_are_not() {
        for text in [
            "",
            "[",
            "]",
            "{",
            "[1",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "[1}",
            "{\"a\":1]",
            "tru",
            "nul",
            "NaN",
            "Infinity",
            "1 2",
            "[1 2]",
            "{\"a\" 1}",
            "{1:2}",
            "[\"]",
            "+1",
            "truefalse",
            "[[]",
        ] {
            assert!(!passes(text, 9), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(passes(&nested(5), 5) && !passes(&nested(6), 5) && !passes("[]", 0));
        assert!(passes(&nested(120), 1_000) && !passes(&nested(121), 1_000));
        assert!(passes("[[],[],[]]", 2));
    }
}
