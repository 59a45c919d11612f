//! The texts of specs: files, standard input, URLs, and texts that are at hand.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Error, Problem};
use crate::base::{MIB, Patient, is_url, open_at_once, shown_url, url_file_name};
use crate::rootfs::file_stamp;
use crate::spec;

/// Specs are small; what is larger is a mistake and is not read. In bytes.
const LARGEST: u64 = 16 * MIB;
/// How often a file is read that changes meanwhile.
const TRIES: u32 = 100;
/// A server that says nothing for this long is not going to.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The name of a system whose last spec has no file name.
const UNNAMED: &str = "linuxkit";

/// A spec, by where its text is.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// What an HTTP server answers.
    Url(String),
    /// Standard input, read to its end.
    Stdin,
    /// A text that is at hand, with the name that messages call it by.
    Text(spec::Input),
}

impl Input {
    /// The spec that a person names: a path, `-` for standard input, or a URL.
    pub fn named(name: impl AsRef<Path>) -> Self {
        let path = name.as_ref();
        match path.to_str() {
            Some("-") => Self::Stdin,
            Some(url) if is_url(url) => Self::Url(url.to_owned()),
            _ => Self::File(path.to_owned()),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Url(url) => shown_url(url),
            Self::Stdin => "<stdin>".to_owned(),
            Self::Text(input) => input.name.clone(),
        }
    }

    /// Its file, where it has one.
    pub fn path(&self) -> Option<&Path> {
        if let Self::File(path) = self { Some(path) } else { None }
    }

    /// Whether others than the user of this machine wrote it.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Url(_))
    }

    /// Reads its text.
    ///
    /// # Errors
    /// When it cannot be read, or is too large.
    pub(super) fn read(&self) -> Result<spec::Input, Error> {
        let name = self.name();
        let text = match self {
            Self::File(path) => read_file(path, &name)?,
            Self::Url(url) => download(url, &name)?,
            Self::Stdin => bounded(io::stdin().lock(), "standard input")?,
            Self::Text(input) => return Ok(input.clone()),
        };
        Ok(spec::Input { name, text })
    }
}

/// What a system of these specs is called: the stem of the last one's file name.
pub fn name_of(inputs: &[Input]) -> String {
    let name = match inputs.last() {
        Some(Input::File(path)) => path,
        Some(Input::Url(url)) => Path::new(url_file_name(url)),
        Some(Input::Stdin | Input::Text(_)) | None => Path::new(""),
    };
    name.file_stem().map_or_else(|| UNNAMED.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn read_file(path: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let cannot = |source: io::Error| Problem::ReadSpec { name: name.to_owned(), source };
    let (mut text, mut has_size) = (Vec::new(), false);
    for _ in 0..TRIES {
        let file = open_at_once(path).map_err(cannot)?;
        let before = file.metadata().map_err(cannot)?;
        if before.len() > LARGEST {
            return Err(too_large(name));
        }
        let opened = file.try_clone().map_err(cannot)?;
        text = bounded(Patient::new(file).map_err(cannot)?, name)?;
        // Part of a text that is being written over may be a spec as well.
        let after = opened.metadata().map_err(cannot)?;
        let is_whole = text.len() as u64 == before.len() && file_stamp(&before) == file_stamp(&after);
        if is_whole || !before.is_file() {
            return Ok(text);
        }
        has_size |= before.len() > 0;
    }
    if has_size {
        return Err(cannot(io::Error::new(io::ErrorKind::ResourceBusy, "it changes while it is read")).into());
    }
    // A file of the kernel's, such as one in `/proc`: these know no size.
    Ok(text)
}

fn bounded(reader: impl Read, name: &str) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let read = reader.take(LARGEST + 1).read_to_end(&mut text);
    read.map_err(|source| Problem::ReadSpec { name: name.to_owned(), source })?;
    if text.len() as u64 > LARGEST { Err(too_large(name)) } else { Ok(text) }
}

fn too_large(name: &str) -> Error {
    Problem::LargeSpec { name: name.to_owned(), limit: LARGEST }.into()
}

fn download(url: &str, name: &str) -> Result<Vec<u8>, Error> {
    let failed = |status, why: String| Problem::FetchSpec { name: name.to_owned(), status, source: why.into() };
    let cannot = |error: reqwest::Error| failed(None, crate::oci::failed_exchange(error));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Problem::Client)?;
    crate::oci::provide_tls();
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(cannot)?;
        let mut response = client.get(url).send().await.map_err(cannot)?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(Some(status), format!("the server answered {status}")).into());
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(cannot)? {
            text.extend_from_slice(&chunk);
            if text.len() as u64 > LARGEST {
                return Err(too_large(name));
            }
        }
        Ok(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_named_after_its_last_spec() {
        let rows = [
            (vec!["a.yml", "dir/b.c.yaml"], "b.c"),
            (vec!["-"], "linuxkit"),
            (vec!["a.yml", "-"], "linuxkit"),
            (vec!["http://host/x/y.yml"], "y"),
            (vec!["https://user:pw@host/x/y.yml?sig=a/b"], "y"),
            (vec!["https://user:pw@host"], "linuxkit"),
            (vec![], "linuxkit"),
        ];
        for (specs, name) in rows {
            assert_eq!(name_of(&specs.into_iter().map(Input::named).collect::<Vec<_>>()), name);
        }
    }

    #[test]
    fn a_file_that_is_written_over_at_once_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.yml");
        let text = format!("init: [a]\n{}", "# more\n".repeat(400));
        std::fs::write(&path, &text).unwrap();
        let writes = || (0..2000).for_each(|_| std::fs::write(&path, &text).unwrap());
        std::thread::scope(|scope| {
            let writer = scope.spawn(writes);
            while !writer.is_finished() {
                // A machine that is busy with other things may never find it unchanged.
                let Ok(read) = read_file(&path, "x.yml") else { continue };
                assert!(read.is_empty() || read == text.as_bytes(), "{} bytes", read.len());
            }
        });
        assert_eq!(read_file(&path, "x.yml").unwrap(), text.as_bytes());
        assert!(!read_file(Path::new("/proc/self/status"), "status").unwrap().is_empty());
    }

    #[test]
    fn a_text_at_hand_is_a_spec_of_this_machine() {
        let input = Input::Text(spec::Input { name: "made".to_owned(), text: b"init: [a]".to_vec() });
        assert_eq!((input.name().as_str(), input.is_remote(), input.path()), ("made", false, None));
        assert_eq!(input.read().unwrap().text, b"init: [a]");
    }
}
