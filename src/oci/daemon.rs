//! Images of a docker daemon: asked for over its socket, and spooled into the cache as an archive, which is a layout then.
//!
//! # Format
//! Docker Engine API: `GET /images/NAME/json` for the id, `GET /images/NAME/get` for the archive that `docker save` writes.

use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::Deserialize;

use super::blocking::Blocking;
use crate::base::{Digest, Ending, ErrorKind, Event, Fault, Monitor, printable_line};
use crate::blob::{self, Archives};

/// How a layout begins that is an image of the daemon, as skopeo writes it.
const PREFIX: &str = "docker-daemon:";
/// Longest text that the daemon says of an image, in bytes.
const MAX_TEXT: usize = 4 << 20;
/// How long the daemon is waited for: it puts an archive together before it sends the first byte of it.
const SILENCE: Duration = Duration::from_secs(600);
/// What an archive may have beyond twice the size of its image: headers, documents, padding.
const SLACK: u64 = 64 << 20;

/// What went wrong with the daemon.
#[derive(Debug, thiserror::Error)]
#[error("cannot get `{image}` from the docker daemon at `{}`", socket.display())]
pub struct DaemonError {
    /// The image, as it was named.
    pub image: String,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Why not.
    pub source: Box<DaemonProblem>,
}

/// Why the daemon gives no image.
#[derive(Debug, thiserror::Error)]
pub enum DaemonProblem {
    /// It is not there, or went away.
    #[error("it cannot be spoken with: {0}")]
    Unreachable(String),
    /// It does not have the image.
    #[error("it has no such image")]
    NotFound,
    /// It answers with an error, or with what is none of its answers.
    #[error("it answered: {0}")]
    Answer(String),
    /// The archive cannot be kept or used.
    #[error(transparent)]
    Archive(#[from] blob::Error),
}

/// What is read of what the daemon says of an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    size: u64,
}

/// The image of the daemon that a layout names, if it does.
pub fn daemon_image(layout: &Path) -> Option<&str> {
    layout.to_str()?.strip_prefix(PREFIX)
}

/// The layout that is this image of the daemon.
pub fn daemon_layout(image: &str) -> PathBuf {
    format!("{PREFIX}{image}").into()
}

/// A docker daemon.
pub struct Daemon {
    socket: PathBuf,
    client: Client,
    blocking: Blocking,
}

impl Daemon {
    /// The daemon that listens on `socket`; it is not asked yet.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn at(socket: &Path, ending: Ending) -> Result<Self, DaemonError> {
        let cannot = |error: String| DaemonError {
            image: "any image".to_owned(),
            socket: socket.to_owned(),
            source: Box::new(DaemonProblem::Unreachable(error)),
        };
        super::provide_tls();
        let client = Client::builder().unix_socket(socket).no_proxy().redirect(Policy::none()).build();
        let client = client.map_err(|error| cannot(error.to_string()))?;
        let blocking = Blocking::start(ending).map_err(|error| cannot(error.to_string()))?;
        Ok(Self { socket: socket.to_owned(), client, blocking })
    }

    /// Whether it has an image.
    ///
    /// # Errors
    /// When the daemon is not there, or does not say.
    pub fn has(&self, image: &str) -> Result<bool, DaemonError> {
        match self.inspected(image) {
            Ok(_) => Ok(true),
            Err(DaemonProblem::NotFound) => Ok(false),
            Err(problem) => Err(self.failed(image, problem)),
        }
    }

    /// The archive of an image, from the cache where the daemon's image is still the same.
    ///
    /// # Errors
    /// When the daemon is not there or does not have the image; when what it sends cannot be kept or used.
    pub fn archive(&self, image: &str, cache: &Path, monitor: &dyn Monitor) -> Result<PathBuf, DaemonError> {
        self.spooled(image, cache, monitor).map_err(|problem| self.failed(image, problem))
    }

    fn failed(&self, image: &str, problem: DaemonProblem) -> DaemonError {
        DaemonError { image: image.to_owned(), socket: self.socket.clone(), source: Box::new(problem) }
    }

    fn spooled(&self, image: &str, cache: &Path, monitor: &dyn Monitor) -> Result<PathBuf, DaemonProblem> {
        let Inspected { id, size } = self.inspected(image)?;
        let said = || DaemonProblem::Answer(format!("its image has the id `{}`", printable_line(&id)));
        let digest: Digest = id.parse().map_err(|_| said())?;
        let archives = Archives::open(cache)?;
        if let Some(path) = archives.find(&digest) {
            return Ok(path);
        }
        monitor.event(Event::LayerStarted { digest, size });
        let response = self.ask(image, "get")?;
        let mut stream = Archive { daemon: self, response, piece: bytes::Bytes::new() };
        let progress = |done: u64| monitor.event(Event::LayerProgress { digest, done: done.min(size) });
        let path = archives.receive(&digest, size.saturating_mul(2).saturating_add(SLACK), &mut stream, &progress)?;
        monitor.event(Event::LayerFinished { digest });
        Ok(path)
    }

    /// What the daemon says of an image.
    fn inspected(&self, image: &str) -> Result<Inspected, DaemonProblem> {
        let mut response = self.ask(image, "json")?;
        let text = self.text(&mut response)?;
        serde_json::from_slice(&text).map_err(|error| DaemonProblem::Answer(format!("no image, but text: {error}")))
    }

    fn ask(&self, image: &str, what: &str) -> Result<Response, DaemonProblem> {
        let mut url = Url::parse("http://docker/").expect("it is a URL");
        url.set_path(&format!("/images/{image}/{what}"));
        let mut response = self.wait(self.client.get(url).send())?;
        match response.status().as_u16() {
            200 => Ok(response),
            404 => Err(DaemonProblem::NotFound),
            status => {
                let text = self.text(&mut response)?;
                let text: String = String::from_utf8_lossy(&text).chars().take(200).collect();
                Err(DaemonProblem::Answer(format!("{status} {}", printable_line(&text)).trim_end().to_owned()))
            }
        }
    }

    /// The body of an answer that is a text.
    fn text(&self, response: &mut Response) -> Result<Vec<u8>, DaemonProblem> {
        let mut text = Vec::new();
        while let Some(piece) = self.wait(response.chunk())? {
            if text.len() + piece.len() > MAX_TEXT {
                return Err(DaemonProblem::Answer(format!("over {MAX_TEXT} bytes of text")));
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    fn wait<T>(&self, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, DaemonProblem> {
        let unreachable = |text: &str| DaemonProblem::Unreachable(text.to_owned());
        // A time limit can only be set on the runtime.
        let limited = async { tokio::time::timeout(SILENCE, work).await };
        let done = self.blocking.wait(limited).ok_or_else(|| unreachable("interrupted"))?;
        let done = done.map_err(|_| unreachable("it says nothing"))?;
        done.map_err(|error| unreachable(&super::transport::root_of(&error.without_url())))
    }
}

/// The bytes of an archive while they come.
struct Archive<'a> {
    daemon: &'a Daemon,
    response: Response,
    piece: bytes::Bytes,
}

impl Read for Archive<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.daemon.wait(self.response.chunk()) {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => return Ok(0),
                Err(problem) => return Err(std::io::Error::other(problem)),
            }
        }
        let count = buf.len().min(self.piece.len());
        buf[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

impl Fault for DaemonError {
    fn kind(&self) -> ErrorKind {
        match &*self.source {
            DaemonProblem::Unreachable(_) | DaemonProblem::Answer(_) => ErrorKind::Unreachable,
            DaemonProblem::NotFound => ErrorKind::ImageNotFound,
            DaemonProblem::Archive(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match &*self.source {
            DaemonProblem::Unreachable(_) => Some(
                "start the daemon, or say where it listens with the variable `DOCKER_HOST`, such as \
                 `unix:///var/run/docker.sock`"
                    .to_owned(),
            ),
            DaemonProblem::NotFound => Some("`docker images` lists what it has".to_owned()),
            DaemonProblem::Answer(_) => Some("is it a docker daemon that listens there?".to_owned()),
            DaemonProblem::Archive(error) => error.hint(),
        }
    }
}
