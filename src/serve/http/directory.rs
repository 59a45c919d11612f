//! The files of a directory, as linuxkit serves them: whole or in part, and a page for each directory that has no
//! `index.html`.
//!
//! # Invariants
//! - No path leads out of the directory.
//! - What is listed of a directory is bounded, however many entries it has.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED, LOCATION,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use percent_encoding::{percent_decode_str, percent_encode};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use super::answer::Shelf;
use super::body::{Body, Plain, Room};
use super::conditions::{Validators, visible};
use super::page::{HEAD, IN_PATH, escaped};
use super::reply::{HTML, POLICY, TEXT, complaint, set, text};
use super::{below, content};
use crate::base::{Digest, printable};
use crate::extent::{ReadError, Source};

/// Entries of a directory that a page lists; people read no more.
const MOST_ENTRIES: usize = 10_000;
/// What is shown in the place of a directory that has it.
const INDEX: &[u8] = b"index.html";

/// A directory that is served.
pub struct Directory {
    root: PathBuf,
    room: Room,
}

impl Directory {
    /// Serves what is below `root` at the time of a question.
    ///
    /// # Errors
    /// When there is no directory that can be read.
    pub fn open(root: PathBuf) -> io::Result<Self> {
        let root = root.canonicalize()?;
        std::fs::read_dir(&root)?;
        Ok(Self { root, room: Room::default() })
    }

    fn respond(&self, head: &Parts, path: &[u8]) -> io::Result<Response<Body>> {
        let file = below::open(&self.root, path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            // As the system's, a slash behind it asks for a directory.
            let is_directory = path.ends_with(b"/");
            return if is_directory {
                Err(io::ErrorKind::NotADirectory.into())
            } else {
                Ok(self.file(head, path, file, &metadata))
            };
        }
        if !metadata.is_dir() {
            return Ok(complaint(StatusCode::FORBIDDEN, "it is neither a file nor a directory"));
        }
        if !path.is_empty() && !path.ends_with(b"/") {
            return Ok(moved(path));
        }
        let index = [path, INDEX].concat();
        match below::open(&self.root, &index).and_then(|file| Ok((file.metadata()?, file))) {
            Ok((metadata, file)) if metadata.is_file() => Ok(self.file(head, &index, file, &metadata)),
            _ => Ok(page(path, &file)?),
        }
    }

    fn file(&self, head: &Parts, path: &[u8], file: File, metadata: &Metadata) -> Response<Body> {
        let size = metadata.len();
        let validators = Validators { etag: etag(metadata), modified: modified(metadata) };
        let described = || {
            let mut response = Response::new(Body::text(""));
            set(&mut response, ETAG, visible(validators.etag.clone()));
            set(&mut response, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            if let Some(modified) = validators.modified {
                set(&mut response, LAST_MODIFIED, visible(httpdate::fmt_http_date(modified)));
            }
            response
        };
        let sent = |range: Option<Range<u64>>| {
            let range = range.unwrap_or(0..size);
            let len = range.end - range.start;
            let name = printable(path).to_string();
            let source = Arc::new(Content { file, size });
            let mut response = described();
            set(&mut response, CONTENT_TYPE, HeaderValue::from_static(content::of_name(path)));
            set(&mut response, ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            set(&mut response, CONTENT_LENGTH, HeaderValue::from(len));
            *response.body_mut() = Body::artifact(&name, Plain { source, range }, Some(len), self.room.clone());
            response
        };
        validators.answer(head, size, described, sent)
    }
}

impl Shelf for Directory {
    fn show(&self, head: &Parts, path: &str, _: &str) -> Response<Body> {
        let path: Vec<u8> = percent_decode_str(path).collect();
        let response = self.respond(head, &path).unwrap_or_else(|error| failed(&path, &error));
        tracing::info!("{} /{} {}", head.method, printable(&path), response.status().as_u16());
        response
    }
}

/// A file of the size that it had when it was opened.
struct Content {
    file: File,
    size: u64,
}

impl Source for Content {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.file.read_exact_at(buf, offset).map_err(|error| ReadError::io("the file cannot be read", error))
    }
}

/// A tag that changes with the file: its inode, size, and the times of its content and its inode, to the nanosecond.
fn etag(of: &Metadata) -> String {
    let state = [of.dev(), of.ino(), of.size()].map(|number| number.to_string()).join(" ");
    let times = [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()].map(|number| number.to_string()).join(" ");
    format!("\"{}\"", &Digest::of(format!("{state} {times}").as_bytes()).hex()[..32])
}

/// When the content was changed, in whole seconds, as a header says it: not before 1970, nor later than now.
fn modified(of: &Metadata) -> Option<SystemTime> {
    let since = Duration::from_secs(u64::try_from(of.mtime()).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since).filter(|time| *time <= SystemTime::now())
}

/// Why there is nothing at a path.
fn failed(path: &[u8], error: &io::Error) -> Response<Body> {
    let shown = printable(path);
    match Errno::from_io_error(error) {
        // A slash behind a file.
        None | Some(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG) => {
            complaint(StatusCode::NOT_FOUND, &format!("there is no `/{shown}` here"))
        }
        Some(Errno::ACCESS | Errno::PERM) => complaint(StatusCode::FORBIDDEN, &format!("`/{shown}` may not be read")),
        // Directories were moved meanwhile.
        Some(Errno::AGAIN) => complaint(StatusCode::SERVICE_UNAVAILABLE, &format!("`/{shown}` is being moved")),
        Some(_) => {
            tracing::warn!("cannot open `/{shown}`: {error}");
            complaint(StatusCode::INTERNAL_SERVER_ERROR, &format!("`/{shown}` cannot be opened"))
        }
    }
}

/// Sends a client to a directory by the name with a slash, so that names on its page lead below it.
fn moved(path: &[u8]) -> Response<Body> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut response = text(TEXT, String::new());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    set(&mut response, LOCATION, visible(format!("./{}/", percent_encode(name, IN_PATH))));
    response
}

/// The page of a directory.
fn page(path: &[u8], directory: &File) -> io::Result<Response<Body>> {
    let (mut names, mut left_out) = (Vec::new(), 0_u64);
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name if names.len() < MOST_ENTRIES => names.push(name.to_vec()),
            _ => left_out += 1,
        }
    }
    names.sort_unstable();
    let title = escaped(&format!("/{}", printable(path)));
    let mut page = format!("{HEAD}<h1>{title}</h1>\n<table>\n");
    if !path.is_empty() {
        page += "<tr><td><a href=\"../\">../</a></td><td></td></tr>\n";
    }
    names.iter().for_each(|name| page += &line(directory, name));
    page += "</table>\n";
    if left_out > 0 {
        page += &format!("<p>There are {left_out} more, which are not listed.</p>\n");
    }
    page += "</body>\n</html>\n";
    let mut response = text(HTML, page);
    set(&mut response, hyper::header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

/// The line of an entry, with a slash behind a directory, and the size of a file in bytes.
fn line(directory: &File, name: &[u8]) -> String {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let kind = stat.map(|stat| FileType::from_raw_mode(stat.st_mode));
    let slash = if kind == Some(FileType::Directory) { "/" } else { "" };
    let size = stat.filter(|_| kind == Some(FileType::RegularFile)).map(|stat| stat.st_size.to_string());
    let (link, shown) = (percent_encode(name, IN_PATH), escaped(&printable(name).to_string()));
    let size = size.unwrap_or_default();
    format!("<tr><td><a href=\"./{link}{slash}\">{shown}{slash}</a></td><td class=\"size\">{size}</td></tr>\n")
}
