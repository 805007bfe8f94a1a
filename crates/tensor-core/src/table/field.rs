//! What a cell of text looks like: a number, a missing value, something that people write for a number, a date, or a name.

use super::date;

/// The texts that stand for a missing value in every column, in this spelling.
pub const MISSING: [&str; 12] = ["", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "<NA>", "#N/A", "#NA", "#N/A N/A"];

/// The texts that stand for a missing value in a column of numbers, in upper and lower case, with those of [`MISSING`]; in a
/// column of categories they are names. Together the two lists contain those that pandas reads as missing.
pub const MISSING_NUMBERS: [&str; 8] = ["NA", "N/A", "None", "NaN", "-NaN", "1.#IND", "-1.#IND", "1.#QNAN"];

/// [`str::trim`], which costs as much as reading a number does; most fields have nothing to trim.
pub(super) fn trimmed(field: &str) -> &str {
    match field.as_bytes() {
        [a, .., b] if a.is_ascii_graphic() && b.is_ascii_graphic() => field,
        _ => field.trim(),
    }
}

/// Whether a field stands for a missing value in every column.
pub fn is_missing(field: &str) -> bool {
    MISSING.contains(&field)
}

/// What a field looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Look {
    /// A finite number.
    Number(f64),
    /// A missing value in every column.
    Missing,
    /// A missing value in a column of numbers, and a name in a column of categories.
    MissingNumber,
    /// An infinity, or a number that f64 cannot hold.
    Infinite,
    /// A number with something that numbers here do not have; the text says what.
    Written(&'static str),
    /// A number with a unit.
    Unit,
    /// A date, with or without a time.
    Date,
    /// A time of day.
    Time,
    /// Anything else.
    Name,
}

impl Look {
    /// Of a field without spaces around it.
    pub(super) fn of(field: &str) -> Self {
        if is_missing(field) {
            return Self::Missing;
        }
        if let Ok(v) = field.parse::<f64>() {
            return match v {
                v if v.is_finite() => Self::Number(v),
                v if v.is_nan() => Self::MissingNumber,
                _ => Self::Infinite,
            };
        }
        if MISSING_NUMBERS.iter().chain(&MISSING).any(|m| m.eq_ignore_ascii_case(field)) || field == "-1.#QNAN" {
            return Self::MissingNumber;
        }
        if date::looks_like_date(field) {
            return Self::Date;
        }
        if date::looks_like_time(field) {
            return Self::Time;
        }
        match written(field) {
            Some(what) => Self::Written(what),
            None if unit(field).is_some() => Self::Unit,
            None => Self::Name,
        }
    }

    /// Whether the writer meant a number that is there.
    pub(super) fn is_numeric(self) -> bool {
        matches!(self, Self::Number(_) | Self::Infinite | Self::Written(_) | Self::Unit)
    }

    /// What is wrong with a field in a column of numbers, and what to write instead.
    pub(super) fn complaint(self, field: &str) -> String {
        let digits = field.contains(|c: char| c.is_ascii_digit());
        match self {
            Self::Infinite if digits => {
                format!(
                    "`{field}` is too large for a 64-bit number: write a smaller one, or an empty cell if it is missing"
                )
            }
            Self::Infinite => {
                format!("`{field}` is no finite number: write a finite one, or an empty cell if it is missing")
            }
            Self::Unit => format!(
                "`{field}` is no finite number as it is written, because of its unit `{}`: write the number without it",
                unit(field).unwrap_or_default()
            ),
            Self::Written(what) => format!("`{field}` is no finite number as it is written, because of {what}"),
            _ => format!("`{field}` is no finite number: correct it, or leave the cell empty if the value is missing"),
        }
    }
}

/// The symbols and codes of currencies that may stand on either side of a number.
const CURRENCIES: [&str; 10] = ["$", "€", "£", "¥", "₹", "USD", "EUR", "GBP", "CHF", "JPY"];

/// Units that may stand after a number; those of one letter stand after a space.
const UNITS: [&str; 68] = [
    "kg", "g", "mg", "µg", "t", "lb", "lbs", "oz", "km", "m", "cm", "mm", "µm", "um", "nm", "ft", "in", "mi", "m2",
    "m²", "m3", "m³", "s", "ms", "µs", "us", "ns", "sec", "min", "h", "hrs", "Hz", "kHz", "MHz", "GHz", "V", "mV",
    "kV", "mA", "W", "kW", "MW", "Wh", "kWh", "MWh", "kJ", "Pa", "hPa", "kPa", "MPa", "bar", "mbar", "psi", "°C", "°F",
    "l", "L", "ml", "mL", "m/s", "km/h", "mph", "rpm", "kB", "KB", "MB", "GB", "TB",
];

/// The unit of a number: of `5 kg`, `3.2m/s`.
fn unit(field: &str) -> Option<&'static str> {
    if !field.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let number = |t: &str| t.parse::<f64>().is_ok_and(f64::is_finite) || decimal_comma(t).is_some() || grouped(t);
    UNITS.into_iter().find(|u| {
        let (rest, short) = (field.strip_suffix(*u), u.chars().count() == 1);
        rest.is_some_and(|rest| number(rest.trim_end()) && (!short || rest.ends_with(' ')))
    })
}

/// What keeps a text from being a number that its writer meant; `None` for a text that is no such number.
fn written(field: &str) -> Option<&'static str> {
    if !field.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let plain = |t: &str| t.parse::<f64>().is_ok_and(f64::is_finite);
    // Signs may stand outside of a symbol: -$5.
    let (sign, body) = match field.strip_prefix(['-', '+', '\u{2212}']) {
        Some(rest) => (true, rest),
        None => (false, field),
    };
    if sign && !field.starts_with(['-', '+']) && (plain(body) || grouped(body)) {
        return Some("its minus sign, which is not the ASCII `-`");
    }
    if let Some(rest) = body.strip_suffix(['%', '‰']) {
        let rest = rest.trim_end();
        return (plain(rest) || grouped(rest)).then_some("the percent sign: write the number without it");
    }
    let currency = CURRENCIES.iter().find_map(|c| body.strip_prefix(c).or_else(|| body.strip_suffix(c)));
    if let Some(rest) = currency.map(str::trim) {
        return (plain(rest) || grouped(rest)).then_some("the currency: write the number without it");
    }
    if let Some(rest) = body.strip_prefix('(').and_then(|b| b.strip_suffix(')')) {
        return (plain(rest) || grouped(rest)).then_some("the parentheses: write a negative number with `-`");
    }
    let comma = body.split_once(',').is_some_and(|(a, b)| digits(a) && plain(&format!("0.{b}")));
    match () {
        () if grouped(body) && comma => {
            Some("its comma: write numbers without thousands separators, and with a decimal point")
        }
        () if grouped(body) => Some("its thousands separators: write the number without them"),
        () if comma => Some("its decimal comma: write a decimal point"),
        () => None,
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Groups of three digits with one kind of separator: `1,234.5`, `1.234,5`, `1 234`, `1'234`.
fn grouped(text: &str) -> bool {
    [",", ".", " ", "'", "\u{a0}", "\u{202f}", "’", "_"].into_iter().any(|separator| {
        let (whole, rest) = match separator {
            "." => text.split_once(','),
            "," => text.split_once('.'),
            _ => text.split_once(['.', ',']),
        }
        .unwrap_or((text, "0"));
        let groups: Vec<&str> = whole.split(separator).collect();
        // Two groups around a point are an ordinary number.
        let enough = if separator == "." && !text.contains(',') { 3 } else { 2 };
        groups.len() >= enough
            && (1..=3).contains(&groups[0].len())
            && groups.iter().all(|g| digits(g))
            && groups[1..].iter().all(|g| g.len() == 3)
            && digits(rest)
    })
}

/// A number with a decimal comma, as the same number with a point; `None` for any other text.
pub fn decimal_comma(field: &str) -> Option<String> {
    let (whole, part) = field.trim().split_once(',')?;
    let sound = !part.contains(',') && !field.contains('.') && field.contains(|c: char| c.is_ascii_digit());
    let text = format!("{whole}.{part}");
    (sound && text.parse::<f64>().is_ok_and(f64::is_finite)).then_some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_fields_look_like() {
        for number in ["1", "-2e3", ".5", "+7", "1.", "007"] {
            assert!(matches!(Look::of(number), Look::Number(_)), "{number}");
        }
        for gap in ["", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "<NA>", "#N/A", "#NA"] {
            assert_eq!(Look::of(gap), Look::Missing, "{gap}");
        }
        for gap in ["None", "none", "NAN", "-nan", "n/a", "na", "Null", "1.#IND", "-1.#QNAN", "-NaN"] {
            assert_eq!(Look::of(gap), Look::MissingNumber, "{gap}");
        }
        for infinite in ["inf", "-Infinity", "1e400", "-1e999"] {
            assert_eq!(Look::of(infinite), Look::Infinite, "{infinite}");
        }
        for (field, what) in [
            ("1,234.5", "thousands"),
            ("-1,234,567", "thousands"),
            ("1.234,5", "thousands"),
            ("1.234.567", "thousands"),
            ("1 234", "thousands"),
            ("1'234.5", "thousands"),
            ("1,234", "comma"),
            ("0,5", "decimal comma"),
            ("12%", "percent"),
            ("1,234 %", "percent"),
            ("$5.10", "currency"),
            ("-$5", "currency"),
            ("5 €", "currency"),
            ("USD 1,000", "currency"),
            ("(12.5)", "parentheses"),
            ("\u{2212}5", "minus"),
        ] {
            let Look::Written(found) = Look::of(field) else { panic!("{field}: {:?}", Look::of(field)) };
            assert!(found.contains(what), "{field}: {found}");
        }
        for (field, what) in [("5 kg", "kg"), ("-3.2m/s", "m/s"), ("1,5 °C", "°C"), ("1,234 V", "V"), ("10min", "min")]
        {
            assert_eq!((Look::of(field), unit(field)), (Look::Unit, Some(what)), "{field}");
            let e = Look::Unit.complaint(field);
            assert!(e.contains(&format!("because of its unit `{what}`: write the number without it")), "{e}");
        }
        for name in [
            "red", "kg", "5 stars", "4K", "5m", "kg 5", "3rd", "10.0.0.1", "1,2,3", "a,b", "%", "$", "4x4", "12,34.5",
            "1/2", "-", "v1.2",
        ] {
            assert_eq!(Look::of(name), Look::Name, "{name}");
        }
        assert_eq!((Look::of("2024-01-31 10:00"), Look::of("10:30:01")), (Look::Date, Look::Time));
    }

    #[test]
    fn decimal_commas() {
        for (field, want) in
            [("1,5", Some("1.5")), ("-0,25", Some("-0.25")), ("1,5e3", Some("1.5e3")), (" 7,0 ", Some("7.0"))]
        {
            assert_eq!(decimal_comma(field).as_deref(), want);
        }
        for other in ["1", "1.5", "1.234,5", "1,234,5", "a,b", ",", "", "red,5"] {
            assert_eq!(decimal_comma(other), None, "{other}");
        }
    }
}
