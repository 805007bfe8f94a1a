//! Tables of any text: no panic, and what was inferred reads the text it was inferred from.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use proptest::prelude::*;
use sconce_tensor_core::table::{Inference, Kind, Labels, decimal_comma, parse_date};

/// Fields of the kinds that people write, and any others.
fn field() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "?",
        "NA",
        "None",
        "nan",
        "inf",
        "1e400",
        "-0",
        "1,234.5",
        "12%",
        "$5",
        "€ 1.000,5",
        "(3)",
        "2024-02-29",
        "31.12.1999 23:59:60",
        "2024-01-01T00:00:00.5+14:00",
        "1/2/24",
        "Jan 5, 2024",
        "10:30",
        "red",
        "blue",
        "True",
        "\u{2212}5",
        "0x1F",
        "1_000",
        "+",
        "-",
        ",",
    ]);
    let date = "[0-9]{1,4}[-/.][0-9]{1,3}[-/.][0-9]{1,5}([ T][0-9:.Z+-]{0,12})?";
    let mixed = "[0-9.,eE+%$ ()'\u{a0}-]{0,12}";
    prop_oneof![4 => known.prop_map(str::to_owned), 2 => any::<f64>().prop_map(|v| v.to_string()), 2 => mixed, 2 => date, 1 => ".{0,30}"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_inferred_reads_its_own_rows(
        rows in prop::collection::vec(prop::collection::vec(field(), 3), 1..40),
        category in any::<bool>(),
        date in any::<bool>(),
    ) {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let named = |on: bool, name: &str| if on { vec![name.to_owned()] } else { Vec::new() };
        let mut seen = Inference::new(names, &named(category, "a")).unwrap().with_dates(&named(date, "b")).unwrap();
        for row in &rows {
            seen.row(row.iter().map(String::as_str)).unwrap();
        }
        match seen.finish() {
            Ok(schema) => {
                let mut values = Vec::new();
                for row in &rows {
                    schema.read(row.iter().map(String::as_str), &mut values).unwrap();
                }
                prop_assert_eq!(values.len(), 3 * rows.len());
                for (value, column) in values.iter().zip(schema.columns().iter().cycle()) {
                    let sound = match &column.kind {
                        Kind::Number | Kind::Date => !value.is_infinite(),
                        Kind::Category(names) => value.is_nan() || (*value as usize) < names.len(),
                    };
                    prop_assert!(sound, "{} in {:?}", value, column);
                }
            }
            Err(e) => prop_assert!(e.to_string().starts_with("column `")),
        }
    }

    #[test]
    fn single_fields_are_read_or_refused(field in field(), normal in field()) {
        if let Some(days) = parse_date(&field) {
            prop_assert!(days.is_finite() && days.abs() < 4e6, "{} is {}", field, days);
        }
        if let Some(text) = decimal_comma(&field) {
            prop_assert!(text.parse::<f64>().unwrap().is_finite());
        }
        let mut rule = Labels::new("y", std::slice::from_ref(&normal));
        let label = rule.of_text(&field, 1);
        if !normal.trim().is_empty() && field.trim() == normal.trim() {
            prop_assert_ne!(label, Some(true));
        }
        let _ = rule.finish();
    }
}
