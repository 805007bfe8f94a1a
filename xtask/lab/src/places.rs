//! Where things are on this machine: the workspace and its commit.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace that this program was built from.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The commit that is checked out, and its day, for a reader who looks for it; `unknown` outside of git.
pub fn commit(root: &Path) -> (String, Option<String>) {
    let Some(head) = git(root, &["rev-parse", "--short=12", "HEAD"]) else { return ("unknown".to_owned(), None) };
    let day = commit_date(root, &head);
    (head, day)
}

/// The day of a commit; `None` where git does not know it.
pub fn commit_date(root: &Path, commit: &str) -> Option<String> {
    git(root, &["show", "-s", "--format=%cs", commit.strip_suffix("-dirty").unwrap_or(commit)])
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let out = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
