//! Directories of a FAT volume: which names they have, and how they are stored.
//!
//! # Format
//! FAT32 File System Specification, "FAT Directory Structure".

use zerocopy::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes, transmute};

use super::name::{RawEntry, ShortName, is_valid, label, long_entries, long_entry_count, short_name};
use super::{FatFile, FatOptions};
use crate::base::Civil;
use crate::format::Error;

const ATTRIBUTE_LABEL: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_ARCHIVE: u8 = 0x20;

/// "FAT 32 Byte Directory Entry Structure".
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct Entry {
    name: ShortName,
    attr: u8,
    nt_res: u8,
    crt_time_tenth: u8,
    crt_time: U16,
    crt_date: U16,
    lst_acc_date: U16,
    fst_clus_hi: U16,
    wrt_time: U16,
    wrt_date: U16,
    fst_clus_lo: U16,
    file_size: U32,
}

const _: () = assert!(size_of::<Entry>() == size_of::<RawEntry>());

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Number of the directory.
    Directory(usize),
    /// Number of the file.
    File(usize),
}

/// A name in a directory.
pub(super) struct Name {
    long: String,
    short: ShortName,
    target: Target,
}

/// A directory; the first of a volume is the root.
#[derive(Default)]
pub(super) struct Directory {
    pub names: Vec<Name>,
    parent: usize,
}

/// Where a target's content starts, and its size for the directory entry.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub cluster: u32,
    pub size: u32,
}

/// The directories that the files' paths make, parents first.
pub(super) fn directories(files: &[FatFile]) -> Result<Vec<Directory>, Error> {
    let mut all = vec![Directory::default()];
    for (number, file) in files.iter().enumerate() {
        let mut parts = file.path.split('/');
        let last = parts.next_back().expect("a split has at least one part");
        let mut dir = 0;
        for part in parts {
            dir = enter(&mut all, dir, part, &file.path)?;
        }
        insert(&mut all[dir], last, Target::File(number), &file.path)?;
    }
    Ok(all)
}

/// The directory `name` in `dir`, made when it is not there.
fn enter(all: &mut Vec<Directory>, dir: usize, name: &str, path: &str) -> Result<usize, Error> {
    match all[dir].find(name) {
        Some(Target::Directory(number)) => Ok(number),
        Some(Target::File(_)) => Err(Error::NameTaken { path: path.to_owned(), format: "a FAT volume" }),
        None => {
            let number = all.len();
            insert(&mut all[dir], name, Target::Directory(number), path)?;
            all.push(Directory { names: Vec::new(), parent: dir });
            Ok(number)
        }
    }
}

fn insert(dir: &mut Directory, name: &str, target: Target, path: &str) -> Result<(), Error> {
    if !is_valid(name) {
        return Err(Error::Unheld { path: path.to_owned(), what: "a name", format: "a FAT volume" });
    }
    if dir.find(name).is_some() {
        return Err(Error::NameTaken { path: path.to_owned(), format: "a FAT volume" });
    }
    let taken: Vec<ShortName> = dir.names.iter().map(|n| n.short).collect();
    dir.names.push(Name { long: name.to_owned(), short: short_name(name, &taken), target });
    Ok(())
}

impl Directory {
    /// Names differ by more than case.
    fn find(&self, name: &str) -> Option<Target> {
        let name = name.to_lowercase();
        self.names.iter().find(|n| n.long.to_lowercase() == name).map(|n| n.target)
    }

    /// Number of 32-byte entries, with the label of the root or the dots of any other directory.
    pub fn entry_count(&self, is_root: bool) -> u64 {
        let names: usize = self.names.iter().map(|n| 1 + long_entry_count(&n.long, &n.short)).sum();
        names as u64 + if is_root { 1 } else { 2 }
    }

    /// The directory's content; `place` tells where targets are.
    pub fn encode(&self, number: usize, options: &FatOptions, place: impl Fn(Target) -> Placed) -> Vec<u8> {
        let nowhere = Placed { cluster: 0, size: 0 };
        let directory = |number| Placed { size: 0, ..place(Target::Directory(number)) };
        let time = options.mtime;
        let mut entries: Vec<RawEntry> = if number == 0 {
            vec![entry(&label(options.label), ATTRIBUTE_LABEL, nowhere, time)]
        } else {
            // The specification wants 0 for the root here, even where the root has a cluster.
            let parent = if self.parent == 0 { nowhere } else { directory(self.parent) };
            vec![
                entry(b".          ", ATTRIBUTE_DIRECTORY, directory(number), time),
                entry(b"..         ", ATTRIBUTE_DIRECTORY, parent, time),
            ]
        };
        for name in &self.names {
            entries.extend(long_entries(&name.long, &name.short));
            entries.push(match name.target {
                Target::Directory(number) => entry(&name.short, ATTRIBUTE_DIRECTORY, directory(number), time),
                Target::File(_) => entry(&name.short, ATTRIBUTE_ARCHIVE, place(name.target), time),
            });
        }
        entries.concat()
    }
}

fn entry(name: &ShortName, attribute: u8, placed: Placed, mtime: i64) -> RawEntry {
    let (date, time) = stamp(mtime);
    let [fst_clus_lo, fst_clus_hi]: [U16; 2] = transmute!(U32::new(placed.cluster));
    transmute!(Entry {
        name: *name,
        attr: attribute,
        nt_res: 0,
        crt_time_tenth: 0,
        crt_time: time,
        crt_date: date,
        lst_acc_date: date,
        fst_clus_hi,
        wrt_time: time,
        wrt_date: date,
        fst_clus_lo,
        file_size: placed.size.into(),
    })
}

/// Date and time as FAT packs them, in steps of two seconds, from 1980 to 2107.
fn stamp(mtime: i64) -> (U16, U16) {
    let civil = Civil::within(mtime, 1980..=2107);
    let year = u16::try_from(civil.year - 1980).expect("the year is within 1980 and 2107");
    let date = year << 9 | u16::from(civil.month) << 5 | u16::from(civil.day);
    let time = u16::from(civil.hour) << 11 | u16::from(civil.minute) << 5 | u16::from(civil.second / 2);
    (date.into(), time.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::Zeros;

    fn file(path: &str) -> FatFile {
        FatFile { path: path.to_owned(), content: Arc::new(Zeros(0)) }
    }

    #[test]
    fn paths_make_directories_and_names_are_unique_without_case() {
        let all = directories(&["kernel", "EFI/BOOT/BOOTX64.EFI", "efi/Linux/x.efi"].map(file)).unwrap();
        let names: Vec<Vec<&str>> = all.iter().map(|d| d.names.iter().map(|n| &*n.long).collect()).collect();
        assert_eq!(names, [vec!["kernel", "EFI"], vec!["BOOT", "Linux"], vec!["BOOTX64.EFI"], vec!["x.efi"]]);
        assert_eq!(all[0].entry_count(true), 4);
        assert_eq!(all[3].entry_count(false), 4);
        for paths in [["a", "A"], ["a", "a/b"], ["a/b", "a"]] {
            let error = directories(&paths.map(file)).err().unwrap();
            assert!(error.to_string().contains("already"), "{error}");
        }
    }

    #[test]
    fn a_time_is_packed_in_local_fields() {
        assert_eq!(stamp(1_492_533_000), (0x4a92.into(), 0x83c0.into()));
        assert_eq!(stamp(0), (0x0021.into(), 0.into()));
    }
}
