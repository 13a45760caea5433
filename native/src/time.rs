//! Event times in text: RFC 3339, the forms that everybody writes.

const DAY_MS: i64 = 86_400_000;

/// Epoch ms of `YYYY-MM-DDTHH:MM:SS`, up to nine digits of a fraction, and `Z` or `+HH:MM`.
pub fn epoch_ms(text: &[u8]) -> Option<i64> {
    let (date, rest) = (text.get(..19)?, text.get(19..)?);
    for (place, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        if date[place] != mark {
            return None;
        }
    }
    let (year, month, day) = (two(date, 0)? * 100 + two(date, 2)?, two(date, 5)?, two(date, 8)?);
    let (hour, minute, second) = (two(date, 11)?, two(date, 14)?, two(date, 17)?);
    if year < 1 || hour > 23 || minute > 59 || second > 59 || day < 1 || day > days_of(year, month)? {
        return None;
    }
    let (fraction_ms, zone) = fraction(rest)?;
    let seconds = hour * 3_600 + minute * 60 + second;
    Some(days_since_1970(year, month, day) * DAY_MS + seconds * 1_000 + fraction_ms - offset_ms(zone)?)
}

fn two(text: &[u8], at: usize) -> Option<i64> {
    let digits = text.get(at..at + 2)?;
    if digits.iter().all(u8::is_ascii_digit) {
        Some(i64::from(digits[0] - b'0') * 10 + i64::from(digits[1] - b'0'))
    } else {
        None
    }
}

/// The first three digits behind a point; more are cut off. Python rounds to a microsecond first, which could
/// make the ms another one where the next three digits are nines.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    if text.first() != Some(&b'.') {
        return Some((0, text));
    }
    let count = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) || (count > 6 && &text[4..7] == b"999") {
        return None;
    }
    let ms = (1..4).fold(0, |ms, at| ms * 10 + if at <= count { i64::from(text[at] - b'0') } else { 0 });
    Some((ms, &text[1 + count..]))
}

fn offset_ms(zone: &[u8]) -> Option<i64> {
    if zone == b"Z" {
        return Some(0);
    }
    if zone.len() != 6 || zone[3] != b':' {
        return None;
    }
    let (hours, minutes) = (two(zone, 1)?, two(zone, 4)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let ms = (hours * 60 + minutes) * 60_000;
    match zone[0] {
        b'+' => Some(ms),
        b'-' => Some(-ms),
        _ => None,
    }
}

fn days_of(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_forms_are_read() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2025-10-09T08:53:20Z", 1_760_000_000_000),
            ("2025-10-09T08:53:20.1239Z", 1_760_000_000_123),
            ("2025-10-09T14:23:20.5+05:30", 1_760_000_000_500),
            ("2025-10-09T08:53:20.123456-00:00", 1_760_000_000_123),
            ("2025-10-09T08:53:20.123456789Z", 1_760_000_000_123),
            ("2000-02-29T23:59:59-01:00", 951_872_399_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(epoch_ms(text.as_bytes()), Some(ms), "{text}");
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut day = days_since_1970(1, 1, 1);
        for year in 1..=2_500 {
            for month in 1..=12 {
                assert_eq!(days_since_1970(year, month, 1), day);
                day += days_of(year, month).unwrap();
            }
        }
    }

    #[test]
    fn other_forms_are_not_certain() {
        for text in [
            "",
            "yesterday",
            "2025-10-09",
            "2025-10-09T08:53:20",
            "2025-10-09 08:53:20Z",
            "2025-10-09t08:53:20z",
            "2025-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-10-09T24:00:00Z",
            "2025-10-09T08:60:20Z",
            "2025-10-09T08:53:60Z",
            "2025-10-09T08:53:20.Z",
            "2025-10-09T08:53:20.1239997Z",
            "2025-10-09T08:53:20+0530",
            "2025-10-09T08:53:20+24:00",
            "2025-10-09T08:53:20Zx",
            "0000-01-01T00:00:00Z",
            "2025-1\u{e9}-09T08:53:20Z",
        ] {
            assert_eq!(epoch_ms(text.as_bytes()), None, "{text}");
        }
    }
}
