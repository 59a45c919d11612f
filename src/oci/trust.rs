//! Whom TLS trusts beside the authorities of the system, and how lkit makes itself known to servers that ask for it.
//!
//! # Format
//! docker's `certs.d` and that of containers-certs.d(5): a folder for each `HOST[:PORT]`, with certificates of authorities
//! in `*.crt`, and `NAME.cert` with `NAME.key` for a server that wants a certificate of its client.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity};

use super::RegistryError;
use crate::blob::open_regular;

/// Longest file of certificates, in bytes: some hundred of them.
const MAX_FILE: u64 = 1 << 20;
/// Most files of a folder that are looked at.
const MAX_FILES: usize = 256;

/// Where certificates are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Files with certificates of authorities that are trusted for all servers.
    pub files: Vec<PathBuf>,
    /// Folders such as `/etc/docker/certs.d`, the most important first.
    pub folders: Vec<PathBuf>,
}

/// What a client is made with.
#[derive(Default)]
pub(super) struct Certificates {
    /// Authorities.
    pub roots: Vec<Certificate>,
    /// Who asks.
    pub identity: Option<Identity>,
}

impl Trust {
    /// Looks whether the files for all servers can be used.
    ///
    /// # Errors
    /// When one cannot be read, or holds no certificate.
    pub fn check(&self) -> Result<(), RegistryError> {
        self.of_all().map(drop)
    }

    /// What all servers are asked with.
    pub(super) fn of_all(&self) -> Result<Certificates, RegistryError> {
        let mut certificates = Certificates::default();
        self.files.iter().try_for_each(|file| certificates.trust(file))?;
        Ok(certificates)
    }

    /// What a server is asked with that has a folder of its own.
    pub(super) fn of_server(&self, host: &str) -> Result<Option<Certificates>, RegistryError> {
        let mut files = Vec::new();
        for folder in &self.folders {
            files.extend(files_of(&folder.join(host))?);
        }
        if files.is_empty() {
            return Ok(None);
        }
        let mut certificates = self.of_all()?;
        for file in files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => certificates.trust(&file)?,
                Some("cert") if certificates.identity.is_none() => certificates.identify(&file)?,
                _ => {}
            }
        }
        Ok(Some(certificates))
    }
}

impl Certificates {
    /// Trusts the authorities of a file.
    fn trust(&mut self, file: &Path) -> Result<(), RegistryError> {
        let found = Certificate::from_pem_bundle(&text(file)?).unwrap_or_default();
        if found.is_empty() {
            return Err(unusable(file, "it holds no certificate in PEM".to_owned()));
        }
        self.roots.extend(found);
        Ok(())
    }

    /// Takes the certificate of a client, and the key beside it.
    fn identify(&mut self, file: &Path) -> Result<(), RegistryError> {
        let mut pem = text(file)?;
        pem.push(b'\n');
        pem.extend(text(&file.with_extension("key"))?);
        let identity = Identity::from_pem(&pem);
        let reason = "it and the `.key` beside it are not a certificate with its key in PEM";
        self.identity = Some(identity.map_err(|_| unusable(file, reason.to_owned()))?);
        Ok(())
    }
}

/// The files of a folder in the order of their names; none where there is no such folder.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unusable(folder, error.to_string())),
    };
    let files = entries.take(MAX_FILES).map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> =
        files.collect::<io::Result<_>>().map_err(|error| unusable(folder, error.to_string()))?;
    files.sort();
    Ok(files)
}

fn text(file: &Path) -> Result<Vec<u8>, RegistryError> {
    let mut text = Vec::new();
    let read = open_regular(file).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text));
    read.map_err(|error| unusable(file, error.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(unusable(file, format!("it has over {MAX_FILE} bytes")));
    }
    Ok(text)
}

pub(super) fn unusable(path: &Path, reason: String) -> RegistryError {
    RegistryError::Certificates { path: path.to_owned(), reason }
}
