//! Files of any bytes as tables: an error or a table, no panic.

use super::read::read;
use super::source::Source;
use crate::args::{Missing, Preprocessing, Scale, TableColumns, TableForm};
use proptest::prelude::*;
use std::path::Path;

fn tried(bytes: &[u8], form: &TableForm, label: bool) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    std::fs::write(&path, bytes).unwrap();
    let label = label.then(|| "y".to_owned());
    let columns = TableColumns { label, form: form.clone(), ..TableColumns::default() };
    let (scale, missing) = (Scale::Standard, Missing::Impute);
    let preprocessing = Preprocessing { category: Vec::new(), dates: Vec::new(), scale, missing };
    if let Ok(data) = read(&Source::open(Path::new(&path)).unwrap(), &columns, &preprocessing) {
        assert!(data.table.rows() <= bytes.len());
        assert!(data.labels.is_none_or(|l| l.len() == data.table.rows()));
    }
}

fn form() -> impl Strategy<Value = TableForm> {
    let delimiter = prop::option::of(prop::sample::select(vec![b',', b';', b'\t', b'|', b' ']));
    delimiter.prop_map(|delimiter| TableForm { delimiter, ..TableForm::default() })
}

const GOOD: &str = "a,b,y\n1.5,red,0\n2,\"blue, or not\",1\n?,red,0\n4e1,blue,0\n";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), form in form(), label in any::<bool>()) {
        tried(&bytes, &form, label);
    }

    #[test]
    fn any_text(text in "[ay0-9.,;|\t\"\n\r -]{0,200}", form in form(), label in any::<bool>()) {
        tried(text.as_bytes(), &form, label);
    }

    #[test]
    fn changed_tables(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), form in form()) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        tried(&bytes, &form, true);
    }

    /// Compressed, cut or changed.
    #[test]
    fn changed_gzip(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(GOOD.as_bytes()).unwrap();
        let mut bytes = gzip.finish().unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        tried(&bytes, &TableForm::default(), true);
    }
}
