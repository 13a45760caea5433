//! Names to numbers: found by the order in which they came the last time, else by a hash.

use crate::cursor::{unescape, word, Cursor};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const NONE: u32 = u32::MAX;

/// The lowest `len` bytes of a word, at most eight.
#[inline]
fn mask(len: usize) -> u64 {
    if len >= 8 {
        u64::MAX
    } else {
        (1 << (8 * len)) - 1
    }
}

#[derive(Clone, Debug)]
struct Entry {
    /// The first bytes of the name.
    head: u64,
    start: u32,
    len: u32,
    value: i32,
}

/// A map from texts to numbers that never changes. Whoever writes records cannot choose what is in it, so that
/// a plain hash will do.
#[derive(Clone, Debug, Default)]
pub struct Table {
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// Places in `entries`, a power of two of them, at most half of them taken.
    places: Vec<u32>,
}

impl Table {
    /// A table of `pairs`; of the same name twice, the last one counts.
    pub fn new<N: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, i32)>) -> Self {
        let mut table = Table::default();
        for (name, value) in pairs {
            let name = name.as_ref();
            let start = table.names.len();
            table.names.extend_from_slice(name);
            let entry = Entry { head: word(name, 0), start: start as u32, len: name.len() as u32, value };
            table.entries.push(entry);
        }
        table.places = vec![NONE; (2 * table.entries.len()).next_power_of_two().max(2)];
        for number in 0..table.entries.len() {
            let entry = &table.entries[number];
            let name = &table.names[entry.start as usize..][..entry.len as usize];
            let place = table.place(name, 0, name.len(), entry.head);
            table.places[place] = number as u32;
        }
        table
    }

    /// The number of `text`, found by its bytes.
    pub fn of(&self, text: &[u8]) -> Option<i32> {
        self.get(text, 0, text.len())
    }

    /// The number of the `len` bytes from `start` on.
    #[inline]
    pub fn get(&self, text: &[u8], start: usize, len: usize) -> Option<i32> {
        let head = word(text, start) & mask(len);
        let number = *self.places.get(self.place(text, start, len, head))?;
        Some(self.entries.get(number as usize)?.value)
    }

    /// Where the text is, or would be.
    #[inline]
    fn place(&self, text: &[u8], start: usize, len: usize, head: u64) -> usize {
        let mut hash = (head ^ len as u64).wrapping_mul(MULTIPLIER);
        let mut at = 8;
        while at < len {
            let next = word(text, start + at) & mask(len - at);
            hash = (hash.rotate_left(29) ^ next).wrapping_mul(MULTIPLIER);
            at += 8;
        }
        let last = self.places.len().wrapping_sub(1);
        let mut place = (hash >> 32) as usize & last;
        while let Some(entry) = self.places.get(place).and_then(|&number| self.entries.get(number as usize)) {
            if entry.head == head && entry.len as usize == len && self.same(entry, text, start) {
                break;
            }
            place = (place + 1) & last;
        }
        place
    }

    #[inline]
    fn same(&self, entry: &Entry, text: &[u8], start: usize) -> bool {
        let len = entry.len as usize;
        len <= 8 || self.names[entry.start as usize..][8..len] == text[start + 8..start + len]
    }
}

/// A key with the quote behind it.
#[derive(Clone, Debug)]
struct Key {
    /// The first eight bytes, or all of them.
    head: u64,
    /// The last eight bytes, of a longer one.
    tail: u64,
    start: u32,
    len: u32,
}

/// The keys of one kind of object, each with a number from 0 on.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    table: Table,
    keys: Vec<Key>,
    names: Vec<u8>,
}

/// Which key came behind which the last time: of key `n` in `after[n + 1]`, the first one in `after[0]`.
#[derive(Clone, Debug, Default)]
pub struct Guess {
    after: Vec<u16>,
}

/// Where a reader of keys stands: behind key number `n` at `n + 1`, in front of the first one at 0.
pub type Behind = usize;

impl Keys {
    /// Keys numbered in the order of `names`, at most 65,534 of them.
    pub fn new<N: AsRef<[u8]>>(names: &[N]) -> Self {
        let mut keys = Keys::default();
        for name in names {
            let start = keys.names.len();
            keys.names.extend_from_slice(name.as_ref());
            keys.names.push(b'"');
            let quoted = &keys.names[start..];
            let tail = word(quoted, quoted.len().saturating_sub(8));
            let len = quoted.len() as u32;
            keys.keys.push(Key { head: word(quoted, 0), tail, start: start as u32, len });
        }
        let numbered = names.iter().enumerate().map(|(number, name)| (name, number as i32));
        keys.table = Table::new(numbered);
        keys
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// A guess that they come in their order.
    pub fn guess(&self) -> Guess {
        Guess { after: (0..=self.len() as u16).collect() }
    }

    /// Pass a key and its closing quote; tell its number, `None` if it is not one of these.
    #[inline(always)]
    #[allow(clippy::option_option)] // not certain, another key, this one
    pub fn pass(&self, cursor: &mut Cursor, guess: &mut Guess, behind: &mut Behind) -> Option<Option<usize>> {
        let next = usize::from(guess.after[*behind]);
        if self.passed(cursor, next) {
            *behind = next + 1;
            return Some(Some(next));
        }
        let (found, at) = self.search(*cursor, guess, *behind, next)?;
        cursor.at = at;
        if let Some(number) = found {
            *behind = number + 1;
        }
        Some(found)
    }

    /// The number of a key that did not come as the last time, and the place behind it.
    fn search(
        &self,
        mut cursor: Cursor,
        guess: &mut Guess,
        behind: Behind,
        next: usize,
    ) -> Option<(Option<usize>, usize)> {
        // One of them is absent now and then.
        let later = guess.after.get(next + 1).map_or(0, |&later| usize::from(later));
        if self.passed(&mut cursor, later) {
            return Some((Some(later), cursor.at));
        }
        let key = cursor.string()?;
        let found = if key.escaped {
            let mut plain = Vec::new();
            unescape(cursor.bytes(key), &mut plain);
            self.table.of(&plain)
        } else {
            self.table.get(cursor.text, key.start, key.len)
        };
        let found = found.map(|number| number as usize);
        if let Some(number) = found {
            guess.after[behind] = number as u16;
        }
        Some((found, cursor.at))
    }

    #[inline(always)]
    fn passed(&self, cursor: &mut Cursor, number: usize) -> bool {
        let key = match self.keys.get(number) {
            Some(key) => key,
            None => return false,
        };
        let len = key.len as usize;
        let head = word(cursor.text, cursor.at);
        let same = if len <= 8 {
            (head ^ key.head) & mask(len) == 0
        } else {
            head == key.head
                && word(cursor.text, cursor.at + len - 8) == key.tail
                && (len <= 16 || self.same(key, *cursor))
        };
        cursor.at += if same { len } else { 0 };
        same
    }

    fn same(&self, key: &Key, cursor: Cursor) -> bool {
        let quoted = &self.names[key.start as usize..][..key.len as usize];
        cursor.text.get(cursor.at..cursor.at + quoted.len()) == Some(quoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        (0..300).map(|number| "n".repeat(number % 23) + &number.to_string()).collect()
    }

    #[test]
    fn every_name_finds_its_number() {
        let table = Table::new(names().iter().enumerate().map(|(number, name)| (name, number as i32)));
        for (number, name) in names().iter().enumerate() {
            assert_eq!(table.of(name.as_bytes()), Some(number as i32));
            assert_eq!(table.of(format!("{name}x").as_bytes()), None);
            assert_eq!(table.get(format!("ab{name}\"").as_bytes(), 2, name.len()), Some(number as i32));
        }
        assert_eq!(Table::default().of(b""), None);
        assert_eq!(Table::new([("", 7), ("", 8)]).of(b""), Some(8));
    }

    #[test]
    fn keys_are_found_in_any_order_and_the_order_is_learned() {
        let names = ["age", "a_longer_name", "home", "ag"];
        let keys = Keys::new(&names);
        let mut guess = keys.guess();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut behind = 0;
            for number in order {
                let text = format!("{}\":1", names[number]);
                let mut cursor = Cursor::new(text.as_bytes());
                assert_eq!(keys.pass(&mut cursor, &mut guess, &mut behind), Some(Some(number)));
                assert_eq!(cursor.at, names[number].len() + 1);
            }
        }
        for (text, found) in
            [("none\"", Some(None)), ("a\\u0067e\"", Some(Some(0))), ("age", None), ("age\\\"", None)]
        {
            assert_eq!(keys.pass(&mut Cursor::new(text.as_bytes()), &mut guess, &mut 0), found, "{text}");
        }
        let none = Keys::new::<&str>(&[]);
        assert_eq!(none.pass(&mut Cursor::new(b"a\""), &mut none.guess(), &mut 0), Some(None));
    }
}
