//! Where the numbers of a page come from.

use sconce_report::Page;

/// Adds the last section of a page: what the command read (`from`, with its seeds and its time), when, on which machine, by which version and
/// with which command.
pub(crate) fn section<const N: usize>(page: &mut Page, from: [(&str, String); N], device: &str) {
    page.heading("Provenance");
    let own = [
        ("made", humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()),
        ("machine", machine(device)),
        ("program", format!("sconce {}", env!("CARGO_PKG_VERSION"))),
    ];
    page.table(&["", ""], from.into_iter().chain(own).map(|(k, v)| vec![k.to_owned(), v]).collect());
    page.details("The command", &command());
}

/// The command that made the page.
fn command() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    let quoted = |a: String| {
        if !a.is_empty() && a.chars().all(plain) { a } else { format!("'{}'", a.replace('\'', r"'\''")) }
    };
    let words = std::env::args_os().skip(1).map(|a| quoted(a.to_string_lossy().into_owned()));
    std::iter::once("sconce".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn machine(device: &str) -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {}, {threads} threads, device {device}", std::env::consts::OS, std::env::consts::ARCH)
}
