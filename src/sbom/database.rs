//! Databases of installed packages, read line by line.
//!
//! # Format
//! dpkg's `status` (deb822(5), dpkg-query(1)); apk's `installed` (`P:`, `V:`, `A:`, `L:`, `o:`, an empty line between
//! packages); os-release(5); package-url types `deb` and `apk`.

use std::fmt::Write as _;
use std::io::{self, BufRead};

use super::Error;

/// Longest line that is looked at, in bytes; the rest of a longer one, such as a description, is passed over.
const LONGEST_LINE: usize = 16 << 10;
/// Longest value of a field in bytes.
const LONGEST_VALUE: usize = 4 << 10;

/// A package manager's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// Debian's.
    Dpkg,
    /// Alpine's.
    Apk,
}

/// A package that is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says of its license.
    pub license: Option<String>,
    /// What it was built from, where that has another name.
    pub source: Option<String>,
    /// Its package-url.
    pub url: String,
    arch: Option<String>,
}

/// The distribution that an image says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Such as `debian`.
    pub id: String,
    /// Such as `12`.
    pub version: String,
}

impl Distribution {
    /// The distribution of an `os-release`; empty where it does not say.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(reader: &mut dyn BufRead) -> io::Result<Self> {
        let mut found = Self::default();
        let mut line = Vec::new();
        while next_line(reader, &mut line)? {
            let text = String::from_utf8_lossy(&line);
            let Some((key, value)) = text.split_once('=') else { continue };
            let value = value.trim().trim_matches(['"', '\'']).to_owned();
            match key.trim() {
                "ID" => found.id = value,
                "VERSION_ID" => found.version = value,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// A field of a paragraph.
#[derive(Clone, Copy)]
enum Field {
    Name,
    Version,
    Arch,
    License,
    Source,
    Status,
}

impl Database {
    fn field(self, key: &[u8]) -> Option<Field> {
        let field = match (self, key) {
            (Self::Dpkg, b"Package") | (Self::Apk, b"P") => Field::Name,
            (Self::Dpkg, b"Version") | (Self::Apk, b"V") => Field::Version,
            (Self::Dpkg, b"Architecture") | (Self::Apk, b"A") => Field::Arch,
            (Self::Dpkg, b"Source") | (Self::Apk, b"o") => Field::Source,
            (Self::Apk, b"L") => Field::License,
            (Self::Dpkg, b"Status") => Field::Status,
            _ => return None,
        };
        Some(field)
    }

    /// Gives each installed package to `each`.
    ///
    /// # Errors
    /// When a line is not valid or cannot be read, or `each` fails.
    pub fn read(
        self,
        reader: &mut dyn BufRead,
        distribution: &Distribution,
        each: &mut dyn FnMut(&Package) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut line, mut number) = (Vec::new(), 0);
        let mut paragraph = Paragraph::default();
        while next_line(reader, &mut line)? {
            number += 1;
            if line.is_empty() {
                paragraph.end(number, self, distribution, each)?;
            } else if !(self == Self::Dpkg && matches!(line[0], b' ' | b'\t')) {
                self.take(&line, &mut paragraph).map_err(|reason| Error::Line { line: number, reason })?;
            }
        }
        paragraph.end(number, self, distribution, each)
    }

    fn take(self, line: &[u8], paragraph: &mut Paragraph) -> Result<(), &'static str> {
        let colon = line.iter().position(|byte| *byte == b':').ok_or("it has no field")?;
        paragraph.is_empty = false;
        let Some(field) = self.field(&line[..colon]) else { return Ok(()) };
        let value = line[colon + 1..].trim_ascii();
        if value.len() > LONGEST_VALUE {
            return Err("its value is too long");
        }
        let value = std::str::from_utf8(value).map_err(|_| "it is no text")?;
        if value.chars().any(char::is_control) {
            return Err("it has a control character");
        }
        let package = &mut paragraph.package;
        let some = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        match field {
            Field::Name => value.clone_into(&mut package.name),
            Field::Version => value.clone_into(&mut package.version),
            Field::Arch => package.arch = some(value),
            Field::License => package.license = some(value),
            Field::Source => package.source = some(value),
            Field::Status => paragraph.is_gone = value.rsplit(' ').next() != Some("installed"),
        }
        Ok(())
    }

    fn url(self, package: &Package, distribution: &Distribution) -> String {
        let (kind, default) = match self {
            Self::Dpkg => ("deb", "debian"),
            Self::Apk => ("apk", "alpine"),
        };
        let id = if distribution.id.is_empty() { default } else { &distribution.id };
        let (id, version) = (encoded(id), encoded(&distribution.version));
        let mut url = format!("pkg:{kind}/{id}/{}@{}", encoded(&package.name), encoded(&package.version));
        let mut sign = '?';
        let mut qualifier = |key: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(url, "{sign}{key}={value}");
            sign = '&';
        };
        if let Some(arch) = &package.arch {
            qualifier("arch", &encoded(arch));
        }
        if !version.is_empty() {
            qualifier("distro", &format!("{id}-{version}"));
        }
        url
    }
}

/// The lines of one package.
struct Paragraph {
    package: Package,
    is_empty: bool,
    /// Whether it was removed, and only its configuration is left.
    is_gone: bool,
}

impl Default for Paragraph {
    fn default() -> Self {
        Self { package: Package::default(), is_empty: true, is_gone: false }
    }
}

impl Paragraph {
    fn end(
        &mut self,
        line: u64,
        database: Database,
        distribution: &Distribution,
        each: &mut dyn FnMut(&Package) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { mut package, is_empty, is_gone } = std::mem::take(self);
        if is_empty || is_gone {
            return Ok(());
        }
        if package.name.is_empty() {
            return Err(Error::Line { line, reason: "the package before it has no name" });
        }
        package.source = package.source.filter(|source| *source != package.name);
        package.url = database.url(&package, distribution);
        each(&package)
    }
}

/// A value in a package-url: all but letters, digits and `.-_~` is escaped.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The next line without its end, no longer than [`LONGEST_LINE`]; false when there is none.
fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut is_there = false;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(is_there);
        }
        is_there = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.extend_from_slice(&part[..part.len().min(LONGEST_LINE - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(database: Database, text: &[u8]) -> Result<Vec<Package>, String> {
        let distribution = Distribution { id: "debian".to_owned(), version: "12".to_owned() };
        let mut packages = Vec::new();
        let mut each = |package: &Package| {
            packages.push(package.clone());
            Ok(())
        };
        let read = database.read(&mut &*text, &distribution, &mut each);
        read.map(|()| packages).map_err(|error| error.to_string())
    }

    #[test]
    fn packages_of_dpkg_are_those_that_are_installed() {
        let text = "Package: libstdc++6\nStatus: install ok installed\nArchitecture: amd64\nSource: gcc-12 (12.2.0-14)\n\
                    Version: 1:12.2.0-14+b1\nDescription: x\n more: y\n .\n\nPackage: gone\nStatus: deinstall ok config-files\n\
                    Version: 1\n\n\nPackage: last\nVersion: 2\n";
        let packages = read(Database::Dpkg, text.as_bytes()).unwrap();
        let urls: Vec<&str> = packages.iter().map(|package| package.url.as_str()).collect();
        let first = "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bb1?arch=amd64&distro=debian-12";
        assert_eq!(urls, [first, "pkg:deb/debian/last@2?distro=debian-12"]);
        assert_eq!(packages[0].source.as_deref(), Some("gcc-12 (12.2.0-14)"));
    }

    #[test]
    fn packages_of_apk_tell_their_license() {
        let text = "C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\n\nP:a\nV:1\n";
        let packages = read(Database::Apk, text.as_bytes()).unwrap();
        assert_eq!((packages[0].license.as_deref(), packages[0].source.as_deref()), (Some("MIT"), None));
        assert_eq!((packages.len(), packages[1].name.as_str()), (2, "a"));
    }

    #[test]
    fn lines_that_are_none_are_told_with_their_number() {
        let long = [b"P:".as_slice(), &[b'x'; 5000]].concat();
        let rows: [(&[u8], &str); 5] = [
            (b"P:a\nV:1\n\nP:b\0\n", "line 4 of its database of packages is not valid: it has a control character"),
            (b"P:a\nnothing\n", "line 2 of its database of packages is not valid: it has no field"),
            (b"P:\xff\n", "line 1 of its database of packages is not valid: it is no text"),
            (b"V:1\n\n", "line 2 of its database of packages is not valid: the package before it has no name"),
            (&long, "line 1 of its database of packages is not valid: its value is too long"),
        ];
        for (text, message) in rows {
            assert_eq!(read(Database::Apk, text).unwrap_err(), message);
        }
    }

    #[test]
    fn a_line_of_any_length_is_read_in_bounded_memory() {
        let mut reader = io::BufReader::new(io::Read::chain(io::Read::take(io::repeat(b'x'), 1 << 24), &b"\nP:a"[..]));
        let mut line = Vec::new();
        assert!(next_line(&mut reader, &mut line).unwrap());
        assert!(line.len() == LONGEST_LINE && line.capacity() <= 2 * LONGEST_LINE);
        assert!(next_line(&mut reader, &mut line).unwrap());
        assert_eq!(line, b"P:a");
        assert!(!next_line(&mut reader, &mut line).unwrap());
    }

    #[test]
    fn a_distribution_is_what_os_release_says() {
        let text = "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID='3.20.3'\nnothing\n";
        let expected = Distribution { id: "alpine".to_owned(), version: "3.20.3".to_owned() };
        assert_eq!(Distribution::read(&mut text.as_bytes()).unwrap(), expected);
    }
}
