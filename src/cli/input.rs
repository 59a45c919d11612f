//! The texts of specs: files, standard input, and URLs.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::report::Failure;
use crate::base::{ErrorKind, MIB, is_url, shown_url};
use crate::spec::Input;

/// Specs are small; what is larger is a mistake and is not read.
const LARGEST: u64 = 16 * MIB;
/// A server that says nothing for this long is not going to.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads one spec.
///
/// # Errors
/// When it cannot be read, or is too large.
pub fn read(path: &Path) -> Result<Input, Failure> {
    let written = path.display().to_string();
    let shown = shown_url_of(&written);
    if path == Path::new("-") {
        let text = bounded(std::io::stdin().lock(), "standard input")?;
        return Ok(Input { name: "<stdin>".to_owned(), text });
    }
    if is_url(&written) {
        return Ok(Input { text: download(&written, &shown)?, name: shown });
    }
    let cannot = |error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let problem = Failure::io(format!("cannot read spec `{shown}`"), &error);
        if missing { problem.hint("name a LinuxKit YAML file, `-` for standard input, or a URL") } else { problem }
    };
    let file = File::open(path).map_err(cannot)?;
    let size = file.metadata().map_err(cannot)?.len();
    if size > LARGEST {
        return Err(too_large(&shown));
    }
    Ok(Input { text: bounded(file, &shown)?, name: shown })
}

fn bounded(reader: impl Read, shown: &str) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = reader.take(LARGEST + 1).read_to_end(&mut text);
    read.map_err(|error| Failure::io(format!("cannot read spec `{shown}`"), &error))?;
    if text.len() as u64 > LARGEST { Err(too_large(shown)) } else { Ok(text) }
}

fn too_large(shown: &str) -> Failure {
    Failure::new(ErrorKind::Spec, format!("spec `{shown}` is over {} MiB", LARGEST / MIB))
}

/// What messages call a spec.
fn shown_url_of(written: &str) -> String {
    if is_url(written) { shown_url(written) } else { written.to_owned() }
}

fn download(url: &str, shown: &str) -> Result<Vec<u8>, Failure> {
    let cannot = |error: reqwest::Error| {
        let kind =
            if error.status().is_some_and(|s| s.is_client_error()) { ErrorKind::Io } else { ErrorKind::Unreachable };
        Failure::caused(kind, format!("cannot fetch spec `{shown}`"), &error.without_url())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot start the network client", &error))?;
    crate::oci::provide_tls();
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(cannot)?;
        let response = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let mut response = response.map_err(cannot)?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(cannot)? {
            text.extend_from_slice(&chunk);
            if text.len() as u64 > LARGEST {
                return Err(too_large(shown));
            }
        }
        Ok(text)
    })
}
