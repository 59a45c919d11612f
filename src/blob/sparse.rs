//! A blob that is here in part: a file with holes, and a map of what is in it.
//!
//! # Format
//! The bytes of the blob at their offsets, and from the next multiple of 4096 behind them the map: a bit for each grain
//! of [`GRAIN`] bytes, the lowest bit of a byte first, set when the grain is here.
//!
//! # Invariants
//! - A grain is written before its bit. Several processes may fill a file: at worst one loses the bit of another, and the
//!   grain is fetched again.
//! - Nothing in it is trusted: what is decoded is verified by who reads it, and a file with wrong bytes is removed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;

use super::Error;
use super::regular::{hold, remove};
use crate::base::align_up;

/// What is fetched and kept together, in bytes: a twelfth of a usual span.
pub(super) const GRAIN: u64 = 16 << 10;
/// Bytes of the map that are read at a time, when the first of their grains is looked for: half a gigabyte of the blob. A
/// manifest may claim any size.
const SECTION: usize = 4096;

/// A file of the cache with some grains of a blob.
#[derive(Debug)]
pub(super) struct SparseFile {
    file: File,
    path: PathBuf,
    size: u64,
    map: Mutex<Sections>,
}

/// What was read of the map: sections by their numbers.
type Sections = BTreeMap<usize, Vec<u8>>;

impl SparseFile {
    /// Opens the file for a blob of `size` bytes, made when there is none, made anew when it has another size.
    ///
    /// # Errors
    /// When the file system fails; `ReadOnly` when it must be made and cannot be.
    pub fn open(path: &Path, size: u64) -> Result<Self, Error> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut options = File::options();
        let mut open =
            || options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path);
        let file = open().map_err(Error::write("create", path))?;
        let found = file.metadata().map_err(Error::io("look at", path))?;
        if !found.is_file() {
            return Err(Error::InTheWay { path: path.to_owned(), what: super::regular::name_of(found.file_type()) });
        }
        let whole = map_at(size) + map_len(size) as u64;
        if found.len() != whole {
            file.set_len(0).and_then(|()| file.set_len(whole)).map_err(Error::write("create", path))?;
        }
        hold(&file, path);
        Ok(Self { file, path: path.to_owned(), size, map: Mutex::default() })
    }

    /// Whether a grain is here; none is where the map cannot be read.
    pub fn holds(&self, grain: u64) -> bool {
        let (at, bit) = place(grain);
        let mut map = self.map();
        let section = match map.entry(at / SECTION) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match self.section(at / SECTION) {
                Ok(section) => place.insert(section),
                Err(_) => return false,
            },
        };
        section.get(at % SECTION).is_some_and(|byte| byte & bit != 0)
    }

    /// A section of the map, read from the file.
    fn section(&self, number: usize) -> io::Result<Vec<u8>> {
        let start = number.saturating_mul(SECTION);
        let mut section = vec![0; map_len(self.size).saturating_sub(start).min(SECTION)];
        self.file.read_exact_at(&mut section, map_at(self.size).saturating_add(start as u64))?;
        Ok(section)
    }

    /// Looks what other processes have put here since.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn look_again(&self) -> Result<(), Error> {
        for (number, section) in self.map().iter_mut() {
            let found = self.section(*number).map_err(Error::io("read", &self.path))?;
            section.iter_mut().zip(found).for_each(|(byte, found)| *byte |= found);
        }
        Ok(())
    }

    /// Keeps a grain.
    ///
    /// # Errors
    /// When it cannot be written; it is not here then.
    pub fn put(&self, grain: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, grain * GRAIN)?;
        let (at, bit) = place(grain);
        let mut map = self.map();
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, map_at(self.size) + at as u64)?;
        let mut known = map.get_mut(&(at / SECTION)).and_then(|section| section.get_mut(at % SECTION));
        let byte = byte[0] | known.as_deref().copied().unwrap_or_default() | bit;
        self.file.write_all_at(&[byte], map_at(self.size) + at as u64)?;
        known.iter_mut().for_each(|known| **known = byte);
        Ok(())
    }

    /// Fills `buf` with the bytes at `offset`, whose grains are here.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    /// Takes the file out of the cache, and counts nothing of it as here.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn discard(&self) -> Result<(), Error> {
        let mut map = self.map();
        map.clear();
        // Another process that has it open must not go on with its bytes.
        for start in (0..map_len(self.size)).step_by(SECTION) {
            let len = SECTION.min(map_len(self.size) - start);
            let emptied = self.file.write_all_at(&[0; SECTION][..len], map_at(self.size) + start as u64);
            emptied.map_err(Error::io("write", &self.path))?;
        }
        remove(&self.path).map(drop)
    }

    fn map(&self) -> MutexGuard<'_, Sections> {
        // A byte is set in one step.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The byte and bit of a grain in the map.
fn place(grain: u64) -> (usize, u8) {
    (usize::try_from(grain / 8).unwrap_or(usize::MAX), 1 << (grain % 8))
}

fn map_at(size: u64) -> u64 {
    align_up(size, 4096)
}

fn map_len(size: u64) -> usize {
    usize::try_from(size.div_ceil(GRAIN).div_ceil(8)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_is_seen_by_others_and_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let [one, other] = [(); 2].map(|()| SparseFile::open(&path, 10 * GRAIN + 5).unwrap());
        one.put(9, &[1; GRAIN as usize]).unwrap();
        assert_eq!([9, 10, 11].map(|grain| one.holds(grain)), [true, false, false]);
        other.put(10, &[2; 5]).unwrap();
        assert!(!one.holds(10));
        one.look_again().unwrap();
        assert!(one.holds(10));
        let again = SparseFile::open(&path, 10 * GRAIN + 5).unwrap();
        let mut buf = [0; 7];
        again.read(&mut buf, 10 * GRAIN - 2).unwrap();
        assert!(again.holds(9) && again.holds(10) && buf == [1, 1, 2, 2, 2, 2, 2]);
        assert!(!SparseFile::open(&path, 11 * GRAIN).unwrap().holds(9), "of another size");
    }

    #[test]
    fn of_the_map_only_what_is_asked_for_is_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let (path, size) = (dir.path().join("x"), 1 << 40);
        let last = size / GRAIN - 1;
        let one = SparseFile::open(&path, size).unwrap();
        assert_eq!(one.map().len(), 0);
        one.put(last, &[1; GRAIN as usize]).unwrap();
        assert!(one.holds(last) && !one.holds(last - 1) && !one.holds(last + 1) && !one.holds(0));
        let lengths: Vec<usize> = one.map().values().map(Vec::len).collect();
        assert_eq!(lengths, [SECTION, SECTION, 0]);
    }

    #[test]
    fn a_file_that_is_discarded_is_empty_for_whoever_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let [one, other] = [(); 2].map(|()| SparseFile::open(&path, GRAIN).unwrap());
        one.put(0, &[1; GRAIN as usize]).unwrap();
        one.discard().unwrap();
        other.look_again().unwrap();
        assert!(!one.holds(0) && !other.holds(0) && !path.exists());
    }
}
