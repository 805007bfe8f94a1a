//! Files that are whole, whoever else writes them.

use crate::{Error, Result, store::Digest};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, io::Write, path::Path, path::PathBuf};

/// Makes a file beside `path` that no other writer has: host, process and a counter are in its name.
fn make_beside(path: &Path) -> io::Result<(PathBuf, fs::File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let partial = path.with_file_name(format!("{}{count}.partial", prefix(path, std::process::id())));
        match fs::File::options().write(true).create_new(true).open(&partial) {
            // What a killed process of the same number left; the next name is free.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|f| (partial, f)),
        }
    }
}

/// The host, as it stands in names of files.
fn host() -> String {
    let host = gethostname::gethostname();
    // Containers of one host name can have process numbers of their own.
    let numbers = fs::read_link("/proc/self/ns/pid").map(|l| l.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{}{numbers}", host.to_string_lossy()).replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// What the names of one process's unfinished files of `path` start with.
fn prefix(path: &Path, process: u32) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.{}.{process}.", host())
}

/// The process that an unfinished file of this host belongs to.
fn process_of(name: &str, host: &str) -> Option<u32> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(".partial")?.rsplit('.').skip(1);
    let process = parts.next()?.parse().ok()?;
    (parts.next()? == host).then_some(process)
}

/// Removes what killed processes of this host left unfinished beside `path`: when this process writes to the folder for the first time, so that
/// thousands of files in one folder are not listed at each of them. Best effort: such a file does no harm.
fn sweep(path: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    // Without a list of processes every one of them would look dead.
    if !Path::new("/proc/self").exists() {
        return;
    }
    let Some(folder) = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p }) else { return };
    let first = SWEPT.lock().is_ok_and(|mut swept| swept.insert(folder.to_owned()));
    let Some(entries) = first.then(|| fs::read_dir(folder).ok()).flatten() else { return };
    let host = host();
    for entry in entries.flatten() {
        let process = entry.file_name().to_str().and_then(|n| process_of(n, &host));
        if process.is_some_and(|p| !Path::new("/proc").join(p.to_string()).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a file of its own beside `path`, to the disk, and hands it to `place`.
fn write(path: &Path, bytes: &[u8], place: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let (partial, mut f) = make_beside(path)?;
    let done = f.write_all(bytes).and_then(|()| f.sync_all()).and_then(|()| place(&partial));
    if done.is_ok() && cfg!(unix) {
        // The name itself is on the disk only when its folder is. Best effort: some file systems cannot, and the file is there.
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = fs::File::open(folder).and_then(|f| f.sync_all());
    }
    if done.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&partial);
    }
    done
}

/// Writes `bytes` to `path`, in the place of what is there: first to a file of its own beside it, then by a rename. A kill
/// or a full disk leaves the old file; of several writers at once, one that is whole wins and none fails.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    sweep(path);
    write(path, bytes, |partial| fs::rename(partial, path)).map_err(Error::io(path))
}

/// Writes `bytes` to `path` where there is no file yet. A second writer of the same bytes is fine. (On a file system without hard links
/// of two writers at the very same moment the later one wins.)
///
/// # Errors
/// [`Error::Conflict`] where the file is there with other content; [`Error::Io`] with the path.
pub fn write_once(path: &Path, bytes: &[u8]) -> Result<()> {
    sweep(path);
    let place = |partial: &Path| match fs::hard_link(partial, path) {
        // A link fails where the name is taken, in one step; a file system without links has the rename.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
        Err(_) if !path.exists() => fs::rename(partial, path),
        Err(e) => Err(e),
        Ok(()) => fs::remove_file(partial),
    };
    match write(path, bytes, place) {
        Err(e) if path.exists() => {
            let there = fs::read(path).map_err(Error::io(path))?;
            if there == bytes {
                return Ok(());
            }
            if e.kind() != io::ErrorKind::AlreadyExists {
                return Err(Error::io(path)(e));
            }
            let (there, ours) = (Digest::new().bytes(&there).hex(), Digest::new().bytes(bytes).hex());
            Err(Error::Conflict { path: path.to_owned(), there, ours })
        }
        done => done.map_err(Error::io(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut all: Vec<String> =
            fs::read_dir(dir).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        all.sort();
        all
    }

    #[test]
    fn two_hundred_writers_of_one_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        let contents: Vec<Vec<u8>> = (0..200u8).map(|i| vec![i; 1 << 14]).collect();
        std::thread::scope(|s| {
            for c in &contents {
                s.spawn(|| write_whole(&path, c).unwrap());
            }
        });
        let found = fs::read(&path).unwrap();
        assert!(contents.contains(&found), "the file is one writer's, whole");
        assert_eq!(names(dir.path()), ["value"], "nothing is left beside it");
    }

    #[test]
    fn once_is_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result");
        std::thread::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| write_once(&path, b"the same").unwrap());
            }
        });
        let e = write_once(&path, b"another").unwrap_err();
        let Error::Conflict { there, ours, .. } = &e else { panic!("{e}") };
        assert_ne!(there, ours);
        assert!(e.to_string().contains("result"), "{e}");
        assert_eq!(fs::read(&path).unwrap(), b"the same");
        assert_eq!(names(dir.path()), ["result"]);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_what_a_live_one_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        // No process has this number: the kernel's largest is 2^22.
        let dead = dir.path().join(format!("{}0.partial", prefix(&dir.path().join("other.value"), 4_194_305)));
        let live = dir.path().join(format!("{}x.partial", prefix(&path, std::process::id())));
        fs::write(&dead, "half").unwrap();
        fs::write(&live, "half").unwrap();
        write_whole(&path, b"whole").unwrap();
        assert!(live.exists());
        assert_eq!(dead.exists(), !cfg!(target_os = "linux"));
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/such/value");
        for e in [write_whole(&path, b"x").unwrap_err(), write_once(&path, b"x").unwrap_err()] {
            assert!(matches!(e, Error::Io { .. }) && e.to_string().contains("no/such/value"), "{e}");
        }
    }
}
