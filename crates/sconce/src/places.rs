//! Where data is on this machine, and what to do where it is missing.

use crate::args::Places;
use anyhow::{Error, Result, bail};
use sconce_datasets::garments::{Garments, Label};
use sconce_datasets::{Descriptor, Images, Lookup, Split, catalog, embedded};
use std::path::PathBuf;

/// The name of the embedded part of Fashion-MNIST.
pub const FASHION_MNIST: &str = "fashion-mnist:embedded";
/// The name of the embedded table.
pub const SHUTTLE: &str = "shuttle:embedded";

/// `--data-dir`, then the folders of `$SCONCE_DATA`, then the platform's data folder, then the cache of the Hugging Face hub, and with `--hub`
/// the hub itself.
///
/// # Errors
/// `--hub` in a build that cannot download.
pub fn lookup(places: &Places) -> Result<Lookup> {
    let named = std::env::var_os("SCONCE_DATA").map(|v| std::env::split_paths(&v).collect::<Vec<PathBuf>>());
    let platform = directories::ProjectDirs::from("", "", "sconce").map(|d| d.data_dir().to_path_buf());
    let roots = named.into_iter().flatten().filter(|p| !p.as_os_str().is_empty()).chain(platform).collect();
    let lookup = Lookup::new(places.data_dir.clone(), roots);
    #[cfg(feature = "hub")]
    let lookup = {
        let token = std::env::var("HF_TOKEN").ok();
        lookup.with_hub(sconce_datasets::Hub { token, offline: !places.hub, ..Default::default() })
    };
    #[cfg(not(feature = "hub"))]
    if places.hub {
        bail!("--hub: this build cannot download; install it with its default features, or with `--features hub`");
    }
    if let Some(dir) = places.data_dir.as_ref().filter(|d| !d.is_dir()) {
        bail!("--data-dir {}: there is no such folder", dir.display());
    }
    Ok(lookup)
}

/// A split of a data set by its name in the catalog, or what ships.
///
/// # Errors
/// A name that is not in the catalog, with those that are; data that is not on this machine, with what to do; a damaged file.
pub fn images(name: &str, split: Split, places: &Places) -> Result<Images> {
    if name == FASHION_MNIST {
        return Ok(embedded::fashion_mnist(split)?);
    }
    if let Some(label) = name.strip_prefix("garments-in-cloth:") {
        let Some(set) = Label::ALL.into_iter().find(|l| l.name() == label) else {
            bail!("`{name}`: the labels are shape, texture or hue");
        };
        return Ok(Garments::embedded(split, 0)?.images(set)?);
    }
    let Some(d) = catalog::all()?.into_iter().find(|d| d.name == name) else {
        let names: Vec<String> = catalog::all()?
            .into_iter()
            .map(|d| d.name)
            .chain([FASHION_MNIST.to_owned(), "garments-in-cloth:shape".to_owned()])
            .collect();
        bail!("no file `{name}`, and no data set of that name; the data sets are {}", names.join(", "));
    };
    lookup(places)?.load(&d, split).map_err(|e| missing(e, &d, split))
}

/// Adds to an error about data that is not on this machine which files they are, where they come from, and the command that gets them.
pub fn missing(e: sconce_datasets::Error, d: &Descriptor, split: Split) -> Error {
    let sconce_datasets::Error::NotFound { looked, .. } = &e else { return e.into() };
    let files: Vec<&str> = d.files.iter().filter(|f| f.split == split).map(|f| f.name.as_str()).collect();
    let source = match &d.hub {
        Some(hub) => {
            format!("`sconce data fetch {}` downloads it from the Hugging Face hub ({}); or copy", d.name, hub.repo)
        }
        None => "Copy".to_owned(),
    };
    Error::msg(format!(
        "the data set `{}` is not on this machine.\n  Its files: {} (each may end in .gz)\n  Looked in: {}\n  {source} the files to a folder and name it with \
         --data-dir or $SCONCE_DATA. Licence: {}",
        d.name,
        files.join(", "),
        looked.join(", "),
        d.licence
    ))
}

/// Whether a path stands for standard input.
#[cfg(feature = "program")]
pub(crate) fn is_stdin(path: &std::path::Path) -> bool {
    ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path == std::path::Path::new(name))
}
