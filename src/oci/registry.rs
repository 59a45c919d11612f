//! The registry client: manifests and blobs over the OCI distribution protocol, behind calls that block.
//!
//! # Format
//! OCI distribution specification 1.1, "Pull"; docker's token authentication.
//!
//! # Invariants
//! - Asynchronous code stays in this file and `stream`; one runtime and one connection pool serve all registries.
//! - Nothing is connected to, and no runtime made, before the first question.

use std::error::Error as StdError;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};
use tokio::runtime::Runtime;

use super::manifest::MAX_MANIFEST;
use super::media_type::ACCEPTED;
use super::mirror::Endpoint;
use super::{Credentials, Reference, RegistryError};
use crate::base::Digest;

/// How long a connection may take; people wait for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a registry may be silent in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a whole manifest may take.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Before the second try after a connection broke or a server had a fault of its own; doubles each time.
pub(super) const SOON: Duration = Duration::from_millis(200);
/// Before the second try after a server asked for patience; doubles each time.
const LATER: Duration = Duration::from_secs(2);
/// How often a transient fault is met in a row before it is an error.
pub(super) const TRIES: u32 = 5;

/// All registries and mirrors.
pub struct Registry {
    credentials: Credentials,
    running: OnceLock<Running>,
}

/// What is made at the first question.
struct Running {
    runtime: Arc<Runtime>,
    https: Client,
    http: Client,
}

/// A repository on one server.
#[derive(Clone)]
pub(super) struct Repository {
    client: Client,
    /// The server, as messages name it.
    pub server: String,
    name: oci_client::Reference,
    auth: RegistryAuth,
    /// Why there are no credentials, where there might be.
    complaint: Option<String>,
}

/// An error, and whether asking again may help.
struct Failure {
    error: RegistryError,
    /// How long to wait before the second try; `None` when trying again is of no use.
    retry_after: Option<Duration>,
}

/// What is waited for when a server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// A server that answers; one that cannot be connected to, or stays silent, is not asked again: a person waits.
    ForAServerThatIsThere,
    /// Also one that is gone: it was there a moment ago.
    ForOneThatWasThere,
}

impl Registry {
    /// A client that has not connected to anything yet.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, running: OnceLock::new() }
    }

    /// The repository of `reference` on `endpoint`.
    pub(super) fn repository(&self, endpoint: &Endpoint, reference: &Reference) -> Result<Repository, RegistryError> {
        let running = self.running(&endpoint.host)?;
        let (auth, complaint) = self.credentials.lookup(&endpoint.host);
        let name = oci_client::Reference::with_tag(
            endpoint.host.clone(),
            reference.repository().to_owned(),
            reference.tag_or_latest().to_owned(),
        );
        let client = if endpoint.plain { running.http.clone() } else { running.https.clone() };
        Ok(Repository { client, server: endpoint.host.clone(), name, auth, complaint })
    }

    /// The runtime that repositories are asked on.
    pub(super) fn runtime(&self, server: &str) -> Result<Arc<Runtime>, RegistryError> {
        Ok(Arc::clone(&self.running(server)?.runtime))
    }

    fn running(&self, server: &str) -> Result<&Running, RegistryError> {
        if let Some(running) = self.running.get() {
            return Ok(running);
        }
        let made = Running::start().map_err(|source| RegistryError::Unreachable { registry: server.into(), source })?;
        // Two threads may get here at once; the second one's is dropped unused.
        Ok(self.running.get_or_init(|| made))
    }
}

/// Gives TLS its cryptography, which a client must have before it is made.
pub fn provide_tls() {
    // An error says that it has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Running {
    fn start() -> Result<Self, Box<dyn StdError + Send + Sync>> {
        provide_tls();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("registry").enable_all().build()?;
        let client = |protocol| {
            Client::try_from(ClientConfig {
                protocol,
                connect_timeout: Some(CONNECT_TIMEOUT),
                read_timeout: Some(READ_TIMEOUT),
                user_agent: concat!("lkit/", env!("CARGO_PKG_VERSION")),
                ..ClientConfig::default()
            })
        };
        let (https, http) = (client(ClientProtocol::Https)?, client(ClientProtocol::Http)?);
        Ok(Self { runtime: Arc::new(runtime), https, http })
    }
}

impl Repository {
    /// The bytes of a manifest or image index, by its digest or by the tag of the reference; with the digest that they
    /// have. Transient faults are tried again.
    pub async fn manifest(&self, digest: Option<&Digest>) -> Result<Vec<u8>, RegistryError> {
        let (name, wanted) = match digest {
            Some(digest) => (self.name.clone_with_digest(digest.to_string()), self.blob_name(digest)),
            None => (self.name.clone(), format!("{}:{}", self.name.repository(), self.name.tag().unwrap_or_default())),
        };
        let mut attempts = Attempts::new(self, &wanted, Patience::ForAServerThatIsThere);
        let bytes = loop {
            let pull = self.client.pull_manifest_raw(&name, &self.auth, &ACCEPTED);
            match tokio::time::timeout(MANIFEST_TIMEOUT, pull).await {
                Ok(Ok((bytes, _))) => break bytes,
                Ok(Err(error)) => attempts.after(error).await?,
                Err(late) => {
                    let late = std::io::Error::new(std::io::ErrorKind::TimedOut, late);
                    attempts.after(late.into()).await?;
                }
            }
        };
        let corrupt =
            |reason: String| RegistryError::Corrupt { registry: self.server.clone(), wanted: wanted.clone(), reason };
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(corrupt(format!("a manifest of {} bytes, over the limit of {MAX_MANIFEST}", bytes.len())));
        }
        match digest {
            Some(digest) if Digest::of(&bytes) != *digest => {
                Err(corrupt(format!("its digest is `{}`", Digest::of(&bytes))))
            }
            _ => Ok(bytes.to_vec()),
        }
    }

    /// A stream of a range of a blob, or of all of it where the registry knows no ranges.
    pub async fn blob(
        &self,
        digest: &Digest,
        range: &Range<u64>,
        patience: Patience,
    ) -> Result<BlobResponse, RegistryError> {
        self.client.store_auth_if_needed(self.name.resolve_registry(), &self.auth).await;
        let text = digest.to_string();
        // A range is asked for even when it is all: an answer in parts is not hashed by the client, which would take
        // time from a core that already hashes it.
        let (start, length) = (range.start, Some(range.end - range.start));
        let wanted = self.blob_name(digest);
        let mut attempts = Attempts::new(self, &wanted, patience);
        loop {
            match self.client.pull_blob_stream_partial(&self.name, text.as_str(), start, length).await {
                Ok(response) => return Ok(response),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    /// Gets a new token: the old one has expired, or there was none.
    async fn renew(&self) -> Result<(), OciDistributionError> {
        self.client.auth(&self.name, &self.auth, RegistryOperation::Pull).await.map(drop)
    }

    /// `repository@digest`, for messages.
    fn blob_name(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name.repository())
    }

    /// What an error of the client means.
    fn failure(&self, error: OciDistributionError, wanted: &str) -> Failure {
        let registry = self.server.clone();
        let denied = |answer: String| Failure {
            error: RegistryError::Denied { registry: self.server.clone(), answer, complaint: self.complaint.clone() },
            retry_after: None,
        };
        let not_found = || RegistryError::NotFound { registry: self.server.clone(), wanted: wanted.to_owned() };
        match error {
            OciDistributionError::UnauthorizedError { .. } => denied("401 Unauthorized".to_owned()),
            OciDistributionError::AuthenticationFailure(answer) => denied(one_line(&answer)),
            OciDistributionError::ServerError { code: 401 | 403, message, .. } => denied(one_line(&message)),
            OciDistributionError::ServerError { code: 404, .. } => Failure { error: not_found(), retry_after: None },
            OciDistributionError::ServerError { code, message, .. } => {
                let answer = format!("{code} {}", one_line(&message));
                let retry_after = if code == 429 || code == 503 { Some(LATER) } else { (code >= 500).then_some(SOON) };
                Failure { error: RegistryError::Failed { registry, answer }, retry_after }
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                let answer = one_line(&envelope.to_string());
                match envelope.errors.first().map(|error| &error.code) {
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => denied(answer),
                    Some(
                        OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::BlobUnknown
                        | OciErrorCode::NotFound,
                    ) => Failure { error: not_found(), retry_after: None },
                    Some(OciErrorCode::Toomanyrequests) => {
                        Failure { error: RegistryError::Failed { registry, answer }, retry_after: Some(LATER) }
                    }
                    _ => Failure { error: RegistryError::Failed { registry, answer }, retry_after: None },
                }
            }
            OciDistributionError::DigestError(reason) => Failure {
                error: RegistryError::Corrupt { registry, wanted: wanted.to_owned(), reason: reason.to_string() },
                retry_after: None,
            },
            OciDistributionError::RequestError(error) => {
                let source = root_of(&error).into();
                Failure { error: RegistryError::Unreachable { registry, source }, retry_after: Some(SOON) }
            }
            OciDistributionError::IoError(source) => Failure { error: self.broken(source), retry_after: Some(SOON) },
            other => {
                Failure { error: RegistryError::Failed { registry, answer: other.to_string() }, retry_after: None }
            }
        }
    }

    /// The error of a connection that broke.
    pub fn broken(&self, source: std::io::Error) -> RegistryError {
        RegistryError::Unreachable { registry: self.server.clone(), source: source.into() }
    }
}

/// The tries of one question.
struct Attempts<'a> {
    repository: &'a Repository,
    /// What is asked for, as messages name it.
    wanted: &'a str,
    patience: Patience,
    faults: u32,
    renewed: bool,
}

impl<'a> Attempts<'a> {
    fn new(repository: &'a Repository, wanted: &'a str, patience: Patience) -> Self {
        Self { repository, wanted, patience, faults: 0, renewed: false }
    }

    /// Returns when it is time to ask again; fails when that is of no use.
    async fn after(&mut self, error: OciDistributionError) -> Result<(), RegistryError> {
        let is_silent = match &error {
            OciDistributionError::RequestError(error) => error.is_connect() || error.is_timeout(),
            OciDistributionError::IoError(error) => error.kind() == std::io::ErrorKind::TimedOut,
            _ => false,
        };
        if matches!(error, OciDistributionError::UnauthorizedError { .. }) && !self.renewed {
            self.renewed = true;
            return self.repository.renew().await.map_err(|error| self.repository.failure(error, self.wanted).error);
        }
        let failure = self.repository.failure(error, self.wanted);
        self.faults += 1;
        let is_last = self.faults == TRIES || is_silent && self.patience == Patience::ForAServerThatIsThere;
        match failure.retry_after {
            Some(delay) if !is_last => tokio::time::sleep(delay * 2_u32.pow(self.faults - 1)).await,
            _ => return Err(failure.error),
        }
        Ok(())
    }
}

/// The innermost cause: what stands around it repeats what the message says already.
fn root_of(error: &dyn StdError) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// The first part of a server's answer, without line ends and control characters.
fn one_line(answer: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = answer.chars().map(plain).take(200).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
