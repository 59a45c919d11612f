//! Fuzz target of the tar scanner.

use super::Scanner;
use crate::layer::engine::Numbers;
use crate::layer::index::{Body, Entry, Run, Toc};

/// Longest path that Linux takes, in bytes, without its NUL.
const PATH_MAX: usize = 4095;

/// A tar: the same in any pieces, nothing in its table that it has not got, and names as the `tar` crate reads them.
///
/// Inputs start with four bytes that choose the pieces, see [`Numbers::of`].
pub fn tar(data: &[u8]) {
    let (mut numbers, tar) = Numbers::of(data);
    let once = scanned(tar, tar.len());
    let pieces = numbers.below(12);
    assert!(once == scanned(tar, 1 + numbers.below(1 << pieces)), "pieces change the table");
    let Ok(packed) = once else { return };
    let toc = Toc::decode(&packed, u64::MAX).expect("a table that was just written is sound");
    let (mut names, mut count) = (Vec::new(), 0);
    let each = toc.each(|entry| {
        check(&entry, tar.len() as u64);
        names.push(entry.path.to_vec());
        count += 1;
        Ok::<_, ()>(())
    });
    assert_eq!((each, count), (Ok(()), toc.len()));
    if let Some(other) = by_tar_crate(tar) {
        assert_eq!(names, other, "other names than the tar crate's");
    }
}

fn scanned(tar: &[u8], piece: usize) -> Result<Vec<u8>, String> {
    let mut scanner = Scanner::new(0);
    let scan = tar.chunks(piece.max(1)).try_for_each(|piece| scanner.push(piece));
    let toc = scan.and_then(|()| scanner.finish());
    toc.map(|toc| toc.finish()).map_err(|error| error.to_string())
}

fn check(entry: &Entry<'_>, size: u64) {
    let is_name = |name: &[u8]| !name.is_empty() && name.len() <= PATH_MAX && !name.contains(&0);
    assert!(is_name(entry.path), "a path that no file has");
    let is_within = |offset: u64, len: u64| offset.checked_add(len).is_some_and(|end| end <= size);
    match &entry.body {
        Body::Empty => {}
        Body::Content { offset, size } => assert!(is_within(*offset, *size), "content beyond the end"),
        Body::Sparse { size, runs } => {
            let mut end = 0;
            for Run { at, offset, len } in runs {
                assert!(*at >= end && is_within(*offset, *len), "runs that overlap or lie beyond the end");
                end = at.checked_add(*len).filter(|end| end <= size).expect("a run within its file");
            }
        }
        Body::Symlink(target) | Body::HardLink(target) => assert!(is_name(target), "a target that no link has"),
    }
}

/// The names of the entries, where the `tar` crate takes the same view of all headers: plain ones and GNU's long names.
fn by_tar_crate(tar: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in tar::Archive::new(tar).entries().ok()?.raw(true) {
        let entry = entry.ok()?;
        let header = entry.header();
        let is_file = matches!(header.as_bytes()[156], 0 | b'0' | b'7');
        let is_other = matches!(header.as_bytes()[156], b'1'..=b'6') && header.entry_size().ok()? == 0;
        if !is_file && !is_other {
            return None;
        }
        names.push(header.path_bytes().into_owned());
    }
    Some(names)
}
