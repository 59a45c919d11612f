//! Who keeps a mount busy: programs that have a file of it open, or work in one of its directories.
//!
//! # Format
//! The links in `/proc/PID`, proc_pid_fd(5); reading them asks no file system that they lead to.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::printable;

/// Programs that are named in a message; the others are counted.
const NAMED: usize = 3;

/// The programs that hold the mount on `point`, as far as this user may see them, as a message names them; nothing when
/// there are none. This process is not counted.
pub(super) fn of(point: &Path) -> Option<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let holders: Vec<String> =
        processes.filter(|process| holds(process, point)).map(|process| name(&process)).collect();
    let named = holders[..holders.len().min(NAMED)].join(", ");
    match holders.len() {
        0 => None,
        1..=NAMED => Some(named),
        count => Some(format!("{named} and {} more", count - NAMED)),
    }
}

fn holds(process: &Path, point: &Path) -> bool {
    let number = process.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    if number.is_none_or(|number: u32| number == std::process::id()) {
        return false;
    }
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let places = ["cwd", "root"].map(|name| process.join(name));
    let is_in_it = |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(point));
    places.into_iter().chain(open).any(is_in_it)
}

/// Name and number of a process, such as `less` (42).
fn name(process: &Path) -> String {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    let number = process.file_name().unwrap_or_default().to_string_lossy();
    format!("`{}` ({number})", printable(name.trim_ascii_end()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn whoever_works_in_a_directory_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().canonicalize().unwrap();
        assert_eq!(of(&place), None);
        let mut cat = Command::new("cat").current_dir(&place).stdin(Stdio::piped()).spawn().unwrap();
        let expected = format!("`cat` ({})", cat.id());
        let found = of(&place);
        drop(cat.stdin.take());
        cat.wait().unwrap();
        assert_eq!(found, Some(expected));
    }
}
