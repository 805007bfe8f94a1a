//! The hub against a local server that speaks its protocol: metadata of a file, then its bytes.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use sconce_datasets::{Error, Hub, Lookup, Split, catalog};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;

fn png(v: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut e = png::Encoder::new(&mut bytes, 28, 28);
    e.set_color(png::ColorType::Grayscale);
    e.write_header().unwrap().write_image_data(&[v; 784]).unwrap();
    bytes
}

fn parquet_file(images: &[Vec<u8>], labels: &[i64]) -> Vec<u8> {
    let schema = "message m { optional group image { optional binary bytes; optional binary path (UTF8); } optional int64 label; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let levels = vec![2i16; labels.len()];
    for column in 0..2 {
        let values: Vec<ByteArray> =
            images.iter().map(|i| if column == 0 { i.clone().into() } else { b"a.png".to_vec().into() }).collect();
        let mut c = group.next_column().unwrap().unwrap();
        c.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        c.close().unwrap();
    }
    let mut c = group.next_column().unwrap().unwrap();
    c.typed::<Int64Type>().write_batch(labels, Some(&vec![1; labels.len()]), None).unwrap();
    c.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    out
}

/// Serves one file under any path that ends in `name`, 404 for others; ends with the process.
fn serve(name: &'static str, content: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(request)) = lines.next() else { continue };
            let headers: Vec<String> = lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
            let range = headers.iter().find_map(|h| h.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
            let total = content.len();
            let reply = if request.split(' ').nth(1).is_some_and(|p| p.ends_with(name)) {
                let (from, to) = match range.as_deref().and_then(|r| r.split_once('-')) {
                    Some((a, b)) => (a.parse().unwrap_or(0), b.parse::<usize>().map_or(total, |b| (b + 1).min(total))),
                    None => (0, total),
                };
                let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{total}\r\nETag: \"abc\"\r\n\
                     X-Repo-Commit: 0123\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n",
                    to - from,
                    to - 1
                );
                [head.as_bytes(), &content[from..to]].concat()
            } else {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
            };
            let _ = stream.write_all(&reply);
        }
    });
    address
}

fn load(name: &'static str, content: Vec<u8>) -> Result<sconce_datasets::Images, Error> {
    let cache = tempfile::tempdir().unwrap();
    let hub =
        Hub { cache: Some(cache.path().into()), endpoint: Some(serve(name, content)), token: None, offline: false };
    hub.load(&catalog::get("fashion-mnist").unwrap(), Split::Test)
}

#[test]
fn a_split_is_downloaded_and_decoded() {
    let file = parquet_file(&[png(7), png(200)], &[3, 9]);
    let images = load("fashion_mnist/test/0000.parquet", file).unwrap();
    assert_eq!((images.labels, images.pixels[0], images.pixels[784]), (vec![3, 9], 7, 200));
}

/// What was downloaded once is found without the network; what was not is named.
#[test]
fn an_offline_hub_reads_its_cache_alone() {
    let cache = tempfile::tempdir().unwrap();
    let file = parquet_file(&[png(7)], &[3]);
    let endpoint = Some(serve("fashion_mnist/test/0000.parquet", file));
    let hub = Hub { cache: Some(cache.path().into()), endpoint, token: None, offline: false };
    let d = catalog::get("fashion-mnist").unwrap();
    let offline = Hub { endpoint: None, offline: true, ..hub.clone() };
    let e = offline.load(&d, Split::Test).unwrap_err().to_string();
    assert!(e.contains("the hub's cache (zalando-datasets/fashion_mnist/"), "{e}");
    let images = hub.load(&d, Split::Test).unwrap();
    assert_eq!(offline.load(&d, Split::Test).unwrap(), images);
}

#[test]
fn what_is_wrong_is_told_with_its_row() {
    let message = |f: Vec<u8>| load("fashion_mnist/test/0000.parquet", f).unwrap_err().to_string();
    assert!(message(b"not parquet at all".to_vec()).contains("no Parquet file"));
    assert!(message(parquet_file(&[png(1), b"x".to_vec()], &[1, 2])).contains("row 1: PNG"));
    assert!(message(parquet_file(&[png(1)], &[-4])).contains("row 0: column `label`"));
    assert!(message(parquet_file(&[png(1)], &[10])).contains("label 10"));
    let e = load("elsewhere", Vec::new()).unwrap_err().to_string();
    assert!(e.contains("`fashion-mnist` not found") && e.contains("zalando-datasets/fashion_mnist"), "{e}");
}

#[test]
fn the_hub_is_asked_last_and_counts_are_checked() {
    let cache = tempfile::tempdir().unwrap();
    let endpoint = serve("fashion_mnist/test/0000.parquet", parquet_file(&[png(7)], &[3]));
    let hub = Hub { cache: Some(cache.path().into()), endpoint: Some(endpoint), token: None, offline: false };
    let lookup = Lookup::new(Some("/nowhere".into()), vec![]).with_hub(hub);
    let e = lookup.load(&catalog::get("fashion-mnist").unwrap(), Split::Test).unwrap_err().to_string();
    assert!(e.contains("Fashion-MNIST: 1 images"), "{e}");
    let e = lookup.load(&catalog::get("mnist").unwrap(), Split::Test).unwrap_err().to_string();
    assert!(e.contains("/nowhere") && e.contains("ylecun/mnist"), "{e}");
}

#[test]
fn a_text_is_downloaded_line_by_line() {
    let schema =
        Arc::new(parquet::schema::parser::parse_message_type("message m { optional binary text (UTF8); }").unwrap());
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let lines: Vec<ByteArray> = ["", " = A = \n", " a b \n"].iter().map(|l| l.as_bytes().to_vec().into()).collect();
    column.typed::<ByteArrayType>().write_batch(&lines, Some(&[1; 3]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub {
        cache: Some(cache.path().into()),
        endpoint: Some(serve("-00000-of-00001.parquet", file)),
        token: None,
        offline: false,
    };
    let lookup = Lookup::new(Some("/nowhere".into()), vec![]).with_hub(hub);
    let parts = lookup.load_text(&catalog::text("wikitext-2").unwrap()).unwrap();
    assert_eq!((parts.train.as_str(), parts.test.as_str()), ("\n = A = \n a b \n", "\n = A = \n a b \n"));
    let e = lookup.load_text(&catalog::text("penn-treebank").unwrap()).unwrap_err().to_string();
    assert!(e.contains("/nowhere") && e.contains("ptb_text_only"), "{e}");
}
