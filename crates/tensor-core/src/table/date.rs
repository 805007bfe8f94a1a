//! Dates and times in text.

/// The features that a date gives: the days since 1970-01-01 with their fraction, the hour of the day in [0, 24), and the
/// weekday, 0 for Monday to 6 for Sunday.
pub fn date_features(days: f64) -> [f64; 3] {
    let day = days.floor();
    [days, (days - day) * 24.0, (day + 3.0).rem_euclid(7.0)]
}

/// Days since 1970-01-01 00:00, in UTC if the text has an offset. Formats: `2024-01-31`, `2024/01/31`, `20240131T...` and
/// `31.01.2024`, each alone or followed by a space or `T` and a time `10:00`, `10:00:30`, `10:00:30.25`, with `Z` or an offset
/// such as `+02:00`. `None` for any other text, and for dates whose day and month cannot be told apart (`01/02/2024`).
pub fn parse_date(text: &str) -> Option<f64> {
    let text = Some(text.trim()).filter(|t| t.is_ascii())?;
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time.trim())),
        None => (text, None),
    };
    let days = day_of(date, time.is_some())?;
    Some(days + time.map_or(Some(0.0), fraction_of_day)?)
}

/// A number of at most `most` digits and nothing else.
fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    (digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn day_of(date: &str, timed: bool) -> Option<f64> {
    let parts: Vec<&str> = date.split(['-', '/', '.']).collect();
    let separator = date.chars().find(|c| !c.is_ascii_digit());
    let one_kind = date.chars().all(|c| c.is_ascii_digit() || Some(c) == separator);
    let (y, m, d) = match (&parts[..], separator) {
        ([y, m, d], Some(_)) if one_kind && y.len() == 4 => (number(y, 4..=4)?, number(m, 1..=2)?, number(d, 1..=2)?),
        ([d, m, y], Some('.')) if one_kind => (number(y, 4..=4)?, number(m, 1..=2)?, number(d, 1..=2)?),
        // Without a time it is a number.
        ([all], None) if timed && all.len() == 8 => {
            (number(&all[..4], 4..=4)?, number(&all[4..6], 2..=2)?, number(&all[6..], 2..=2)?)
        }
        _ => return None,
    };
    civil(y, m, d)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn civil(y: u32, m: u32, d: u32) -> Option<f64> {
    let leap = y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let length = match m {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if d < 1 || d > length {
        return None;
    }
    // Years from March on, so that the leap day is a year's last (Hinnant, days_from_civil).
    let y = i64::from(y) - i64::from(m <= 2);
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let of_year = (153 * (i64::from(m) + if m > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(d) - 1;
    let day = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some((era * 146_097 + day - 719_468) as f64)
}

/// A time of day as a share of a day, moved to UTC by its offset.
fn fraction_of_day(time: &str) -> Option<f64> {
    if !time.is_ascii() {
        return None;
    }
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time[..at].trim_end(), &time[at..]),
        None => (time, ""),
    };
    let offset = match offset {
        "" | "Z" | "z" => 0.0,
        _ => {
            let sign = if offset.starts_with('-') { -1.0 } else { 1.0 };
            let digits: String = offset[1..].chars().filter(|c| *c != ':').collect();
            let (h, m) = match digits.len() {
                2 => (number(&digits, 2..=2)?, 0),
                4 => (number(&digits[..2], 2..=2)?, number(&digits[2..], 2..=2)?),
                _ => return None,
            };
            sign * (f64::from(h) + f64::from(m) / 60.0)
        }
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let (h, m, s) = match parts[..] {
        [h, m] => (h, m, "0"),
        [h, m, s] => (h, m, s),
        _ => return None,
    };
    let (h, m) = (number(h, 1..=2)?, number(m, 2..=2)?);
    let s = s.starts_with(|c: char| c.is_ascii_digit()).then(|| s.replace(',', ".").parse::<f64>().ok())??;
    // 61 for a leap second.
    let sound = h < 24 && m < 60 && (0.0..61.0).contains(&s);
    sound.then(|| (f64::from(h) - offset + f64::from(m) / 60.0 + s / 3600.0) / 24.0)
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Whether a word is the name of a month or its usual short form.
fn is_month(word: &str) -> bool {
    let low = word.to_ascii_lowercase();
    low == "sept" || MONTHS.iter().any(|m| low == *m || low == m[..3])
}

/// Whether a text looks like a date, also in formats that [`parse_date`] does not read: `01/02/24`, `31-Jan-2024`.
pub(super) fn looks_like_date(text: &str) -> bool {
    if !text.contains(|c: char| c.is_ascii_digit()) || text.len() > 40 || !text.is_ascii() {
        return false;
    }
    if parse_date(text).is_some() {
        return true;
    }
    let date = text.split(['T', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split(['/', '-']).collect();
    // `10-20-30` is a name.
    let year = if date.contains('/') { 2..=4 } else { 4..=4 };
    if let [a, b, c] = parts[..]
        && let (Some(a), Some(b), Some(_)) = (number(a, 1..=2), number(b, 1..=2), number(c, year))
    {
        return (1..=31).contains(&a) && (1..=31).contains(&b) && a.min(b) <= 12;
    }
    // The name of a month beside numbers.
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let days = words.iter().filter(|w| number(w, 1..=4).is_some()).count();
    (2..=7).contains(&words.len()) && words.iter().take(3).any(|w| is_month(w)) && days >= 1 && days + 2 >= words.len()
}

/// Whether a text is a time of day, such as `10:30` or `23:59:59.5`.
pub(super) fn looks_like_time(text: &str) -> bool {
    fraction_of_day(text).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Values of Python's `datetime.fromisoformat(..).replace(tzinfo=utc).timestamp() / 86400`.
    #[test]
    fn days_since_1970() {
        for (text, want) in [
            ("1970-01-01", 0.0),
            ("2024-02-29", 19_782.0),
            ("2024/02/29", 19_782.0),
            ("29.02.2024", 19_782.0),
            ("1969-12-31T12:00", -0.5),
            ("2000-01-01 06:00:00", 10_957.25),
            ("20000101T060000", f64::NAN),
            ("20000101T06:00", 10_957.25),
            ("2000-01-01T06:00:00.000Z", 10_957.25),
            ("2000-01-01T08:00:00+02:00", 10_957.25),
            ("2000-01-01 03:30:00-0230", 10_957.25),
        ] {
            match parse_date(text) {
                Some(days) => assert!((days - want).abs() < 1e-9, "{text}: {days}"),
                None => assert!(want.is_nan(), "{text}"),
            }
        }
        for bad in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "01/02/2024",
            "2024-01",
            "20240131",
            "1.2.3",
            "10.0.0.1",
            "",
            "T",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        let [days, hour, weekday] = date_features(10_957.25);
        assert_eq!((days, hour, weekday), (10_957.25, 6.0, 5.0), "a Saturday");
        assert_eq!(date_features(-0.5), [-0.5, 12.0, 2.0], "a Wednesday");
    }

    #[test]
    fn what_looks_like_a_date() {
        for date in [
            "01/02/24",
            "1/31/2024 10:00",
            "31-12-2024",
            "31-Jan-2024",
            "Jan 5, 2024",
            "5 March 2024 10:00:00",
            "Sept 5",
            "2024-01-01",
        ] {
            assert!(looks_like_date(date), "{date}");
        }
        for other in [
            "Market 1",
            "Decoder 5",
            "Marina 2",
            "Maybe 3",
            "Junior 4",
            "1/2",
            "40/50/60",
            "may",
            "Mars 3 red planet",
            "1-2",
            "march",
            "x86-64",
            "10-20-30",
            "192.168.0.1",
            "2024",
        ] {
            assert!(!looks_like_date(other), "{other}");
        }
        assert!(
            looks_like_time("10:30")
                && looks_like_time("23:59:59.5")
                && !looks_like_time("25:00")
                && !looks_like_time("1:2")
        );
    }
}
