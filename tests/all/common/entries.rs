//! Files as lines of text, for layers that tests make and for archives that they read.
//!
//! ```text
//! etc/ 700 1:2                a directory (without more: 755 0:0)
//! etc/motd 600 1:2 = hello    a file (without more: 644 0:0); `\n` is a line end
//! bin/ls -> busybox           a symbolic link
//! bin/sh => bin/busybox       a hard link
//! dev/null 666 0:0 c1,3       a device, `b8,0` a block device
//! etc/.wh.gone =              a file without content, here a whiteout
//! ```
//! In layers `@5` is a time, also before 1970, and `user.k:v` an extended attribute.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Read as _;

use tar::EntryType;

/// Time of entries that do not say one.
const TIME: i64 = 1_600_000_000;

/// One file of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub kind: Kind,
    pub mode: u32,
    pub owner: (u64, u64),
    pub time: i64,
    pub attributes: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    HardLink(String),
    Device(char, u32, u32),
}

impl Kind {
    fn after(mark: &str, text: &str) -> Self {
        match mark {
            " -> " => Self::Symlink(text.to_owned()),
            " => " => Self::HardLink(text.to_owned()),
            _ => Self::File(text.replace("\\n", "\n").into_bytes()),
        }
    }
}

impl Entry {
    /// Reads one line.
    pub fn parse(line: &str) -> Self {
        let marks = [" = ", " -> ", " => "];
        let mark = marks.into_iter().filter_map(|mark| Some((line.find(mark)?, mark))).min();
        let (head, kind) = match (mark, line.strip_suffix(" =")) {
            (Some((at, mark)), _) => (&line[..at], Some(Kind::after(mark, &line[at + mark.len()..]))),
            (None, Some(head)) => (head, Some(Kind::File(Vec::new()))),
            (None, None) => (line, None),
        };
        let mut words = head.split(' ');
        let path = words.next().unwrap();
        let kind = kind.unwrap_or(Kind::Directory);
        let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
        let path = path.trim_end_matches('/').to_owned();
        let mut entry = Self { path, kind, mode, owner: (0, 0), time: TIME, attributes: Vec::new() };
        words.for_each(|word| entry.word(word));
        entry
    }

    fn word(&mut self, word: &str) {
        let numbers = |text: &str, by: char| {
            let (a, b) = text.split_once(by)?;
            Some((a.parse().ok()?, b.parse::<u32>().ok()?))
        };
        if let Some(time) = word.strip_prefix('@') {
            self.time = time.parse().unwrap();
        } else if let Some((major, minor)) = word.get(1..).and_then(|rest| numbers(rest, ',')) {
            self.kind = Kind::Device(word.chars().next().unwrap(), major, minor);
        } else if let Some((uid, gid)) = numbers(word, ':') {
            self.owner = (u64::from(uid), u64::from(gid));
        } else if let Some((name, value)) = word.split_once(':') {
            self.attributes.push((name.to_owned(), value.to_owned()));
        } else {
            self.mode = u32::from_str_radix(word, 8).unwrap_or_else(|_| panic!("`{word}` is no mode"));
        }
    }
}

/// What is usual is not said; times and attributes never are.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.kind == Kind::Directory { "/" } else { "" };
        write!(f, "{}{slash}", self.path)?;
        let usual = if self.kind == Kind::Directory { 0o755 } else { 0o644 };
        let is_link = matches!(self.kind, Kind::Symlink(_) | Kind::HardLink(_));
        if self.mode != usual && !is_link {
            write!(f, " {:o}", self.mode)?;
        }
        if self.owner != (0, 0) && !matches!(self.kind, Kind::HardLink(_)) {
            write!(f, " {}:{}", self.owner.0, self.owner.1)?;
        }
        match &self.kind {
            Kind::Directory => Ok(()),
            Kind::File(content) if content.is_empty() => write!(f, " ="),
            Kind::File(content) => write!(f, " = {}", String::from_utf8_lossy(content).replace('\n', "\\n")),
            Kind::Symlink(target) => write!(f, " -> {target}"),
            Kind::HardLink(target) => write!(f, " => {target}"),
            Kind::Device(letter, major, minor) => write!(f, " {letter}{major},{minor}"),
        }
    }
}

/// A tar of the entries of a text, in its order.
pub fn tar_of(text: &str) -> Vec<u8> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    tar_of_all(&lines.map(Entry::parse).collect::<Vec<_>>())
}

/// A tar of these entries, in this order.
pub fn tar_of_all(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    entries.iter().for_each(|entry| append(&mut tar, entry));
    tar.into_inner().unwrap()
}

fn append(tar: &mut tar::Builder<Vec<u8>>, entry: &Entry) {
    let mut records: Vec<(String, String)> =
        entry.attributes.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.clone())).collect();
    let time = u64::try_from(entry.time).unwrap_or_else(|_| {
        records.push(("mtime".to_owned(), entry.time.to_string()));
        0
    });
    if !records.is_empty() {
        tar.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), value.as_bytes()))).unwrap();
    }
    let (kind, content, target): (_, &[u8], &str) = match &entry.kind {
        Kind::Directory => (EntryType::Directory, b"", ""),
        Kind::File(content) => (EntryType::Regular, content, ""),
        Kind::Symlink(target) => (EntryType::Symlink, b"", target),
        Kind::HardLink(target) => (EntryType::Link, b"", target),
        Kind::Device('b', ..) => (EntryType::Block, b"", ""),
        Kind::Device(..) => (EntryType::Char, b"", ""),
    };
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    header.set_mtime(time);
    header.set_size(content.len() as u64);
    if let Kind::Device(_, major, minor) = entry.kind {
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
    }
    // Written as they are: `set_path` refuses the names that tests are about.
    header.as_old_mut().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

/// The entries of a tar, in its order.
pub fn of_tar(bytes: &[u8]) -> Vec<Entry> {
    let mut archive = tar::Archive::new(bytes);
    canonical(archive.entries().unwrap().map(|entry| tar_entry(&mut entry.unwrap())).collect())
}

/// Of the names of a file the first by alphabet has its content, whichever the archive gave it to.
fn canonical(mut entries: Vec<Entry>) -> Vec<Entry> {
    let at: HashMap<String, usize> = entries.iter().enumerate().map(|(at, entry)| (entry.path.clone(), at)).collect();
    let mut names: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (link, entry) in entries.iter().enumerate() {
        if let Kind::HardLink(target) = &entry.kind {
            names.entry(at[target]).or_default().push(link);
        }
    }
    for (file, mut links) in names {
        links.push(file);
        links.sort_by(|a, b| entries[*a].path.cmp(&entries[*b].path));
        let content = entries[file].kind.clone();
        let first = entries[links[0]].path.clone();
        links.iter().for_each(|link| entries[*link].kind = Kind::HardLink(first.clone()));
        entries[links[0]].kind = content;
    }
    entries
}

fn tar_entry(entry: &mut tar::Entry<'_, &[u8]>) -> Entry {
    let mut attributes = Vec::new();
    for record in entry.pax_extensions().unwrap().into_iter().flatten().map(Result::unwrap) {
        if let Some(name) = record.key().unwrap().strip_prefix("SCHILY.xattr.") {
            attributes.push((name.to_owned(), record.value().unwrap().to_owned()));
        }
    }
    let target = entry.link_name().unwrap().map_or_else(String::new, |path| path.display().to_string());
    let header = entry.header().clone();
    let device = || (header.device_major().unwrap().unwrap(), header.device_minor().unwrap().unwrap());
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(target),
        EntryType::Link => Kind::HardLink(target),
        EntryType::Char => Kind::Device('c', device().0, device().1),
        EntryType::Block => Kind::Device('b', device().0, device().1),
        _ => {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            Kind::File(content)
        }
    };
    Entry {
        path: entry.path().unwrap().display().to_string().trim_end_matches('/').to_owned(),
        kind,
        mode: header.mode().unwrap() & 0o7777,
        owner: (header.uid().unwrap(), header.gid().unwrap()),
        time: i64::try_from(header.mtime().unwrap()).unwrap(),
        attributes,
    }
}

/// The entries of a newc archive, in its order; a file with another name of an earlier one is a hard link.
pub fn of_cpio(bytes: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut first: HashMap<u32, usize> = HashMap::new();
    let mut rest = bytes;
    loop {
        let mut reader = cpio::newc::Reader::new(rest).unwrap();
        let header = reader.entry().clone();
        if header.is_trailer() {
            return canonical(entries);
        }
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        rest = reader.finish().unwrap();
        let kind = match header.mode() & 0o170_000 {
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink(String::from_utf8(content).unwrap()),
            0o020_000 => Kind::Device('c', header.rdev_major(), header.rdev_minor()),
            0o060_000 => Kind::Device('b', header.rdev_major(), header.rdev_minor()),
            _ if header.nlink() > 1 => {
                let at = *first.entry(header.ino()).or_insert(entries.len());
                named(&mut entries, at, content)
            }
            _ => Kind::File(content),
        };
        let path = header.name().trim_end_matches('/').to_owned();
        let owner = (u64::from(header.uid()), u64::from(header.gid()));
        let (mode, time) = (header.mode() & 0o7777, i64::from(header.mtime()));
        entries.push(Entry { path, kind, mode, owner, time, attributes: Vec::new() });
    }
}

/// One name of a file whose first name is entry `at`: only the last name in the archive has the content.
fn named(entries: &mut [Entry], at: usize, content: Vec<u8>) -> Kind {
    let Some(first) = entries.get_mut(at) else { return Kind::File(content) };
    if !content.is_empty() {
        first.kind = Kind::File(content);
    }
    Kind::HardLink(first.path.clone())
}
