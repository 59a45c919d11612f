//! The registry client: manifests and blobs over the OCI distribution protocol, behind calls that block.
//!
//! # Format
//! OCI distribution specification 1.1, "Pull".
//!
//! # Invariants
//! - Asynchronous code stays in this file and in those that it asks servers with; one runtime serves all registries.
//! - Nothing is connected to, and no runtime made, before the first question.
//! - What a registry says is bounded while it arrives; passwords and tokens are never part of an error.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderMap, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::access::Access;
use super::answer::{Answer, Part};
use super::attempts::{Asked, Attempts, Patience, failure};
use super::blocking::Blocking;
use super::credentials::Login;
use super::door::{Door, Grant};
use super::manifest::MAX_MANIFEST;
use super::media_type::ACCEPTED;
use super::mirror::Endpoint;
use super::server::{Server, unreachable_server};
use super::transport::{Pace, Setback, Timeouts, Transport};
use super::trust::{Certificates, Trust};
use super::{Credentials, Reference, RegistryError};
use crate::base::{Digest, Ending};

/// All registries and mirrors.
pub struct Registry {
    credentials: Credentials,
    trust: Trust,
    timeouts: Timeouts,
    ending: Ending,
    running: OnceLock<Running>,
    /// Held by who makes it: reading the certificates of the system takes some milliseconds, and is done once.
    starting: Mutex<()>,
}

/// What is made at the first question.
struct Running {
    blocking: Blocking,
    timeouts: Timeouts,
    /// For servers without certificates of their own.
    transport: Transport,
    servers: Mutex<HashMap<Endpoint, Arc<Server>>>,
}

/// A repository on one server.
#[derive(Clone)]
pub(super) struct Repository {
    pub server: Arc<Server>,
    door: Arc<Door>,
    /// The repository on it.
    pub name: String,
    /// What it is asked for, as token servers write it.
    scope: String,
    tag: String,
    login: Login,
    /// Why there are no credentials, where there might be.
    pub complaint: Option<String>,
    /// No question is asked again later.
    until: Option<Instant>,
}

impl Registry {
    /// A client that has not connected to anything yet.
    pub fn new(credentials: Credentials, trust: Trust, timeouts: Timeouts, ending: Ending) -> Self {
        Self { credentials, trust, timeouts, ending, running: OnceLock::new(), starting: Mutex::default() }
    }

    /// How long servers are waited for.
    pub(super) const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The repository of `reference` on `endpoint`.
    pub(super) fn repository(&self, endpoint: &Endpoint, reference: &Reference) -> Result<Repository, RegistryError> {
        let server = self.running(&endpoint.host)?.server(endpoint, &self.trust)?;
        let (login, complaint) = self.credentials.lookup(&endpoint.host, reference.repository());
        let (name, tag) = (reference.repository().to_owned(), reference.tag_or_latest().to_owned());
        let scope = format!("repository:{name}:pull");
        let door = server.door(&scope);
        Ok(Repository { server, door, name, scope, tag, login, complaint, until: None })
    }

    /// What repositories are waited with.
    pub(super) fn blocking(&self, server: &str) -> Result<Blocking, RegistryError> {
        Ok(self.running(server)?.blocking.clone())
    }

    fn running(&self, server: &str) -> Result<&Running, RegistryError> {
        if let Some(running) = self.running.get() {
            return Ok(running);
        }
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = self.running.get() {
            return Ok(running);
        }
        let blocking =
            Blocking::start(self.ending.clone()).map_err(|error| unreachable_server(server, error.into()))?;
        let made = Running::start(self.timeouts, &self.trust, (server, blocking))?;
        Ok(self.running.get_or_init(|| made))
    }
}

impl Running {
    fn start(timeouts: Timeouts, trust: &Trust, (server, blocking): (&str, Blocking)) -> Result<Self, RegistryError> {
        let transport = transport(timeouts, trust.of_all()?, server)?;
        Ok(Self { blocking, timeouts, transport, servers: Mutex::default() })
    }

    /// What is known of a server, and will be.
    fn server(&self, endpoint: &Endpoint, trust: &Trust) -> Result<Arc<Server>, RegistryError> {
        // An entry is put in whole, so a panic elsewhere does not spoil the map.
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(endpoint) {
            return Ok(Arc::clone(server));
        }
        let transport = match trust.of_server(&endpoint.host)? {
            Some(certificates) => transport(self.timeouts, certificates, &endpoint.host)?,
            None => self.transport.clone(),
        };
        let server = Arc::new(Server::new(endpoint, transport)?);
        servers.insert(endpoint.clone(), Arc::clone(&server));
        Ok(server)
    }
}

fn transport(timeouts: Timeouts, certificates: Certificates, server: &str) -> Result<Transport, RegistryError> {
    Transport::new(timeouts, certificates).map_err(|error| unreachable_server(server, error.into()))
}

impl Repository {
    /// The same, which no question is asked of again after `until`.
    pub fn until(self, until: Option<Instant>) -> Self {
        Self { until, ..self }
    }

    /// The same repository, for questions that also put something there, and take blobs of `source` over.
    pub fn for_pushes(mut self, source: Option<&str>) -> Self {
        self.scope = format!("repository:{}:pull,push", self.name);
        source.iter().for_each(|source| self.scope += &format!(" repository:{source}:pull"));
        self.door = self.server.door(&self.scope);
        self
    }

    /// The address of something in the repository.
    pub async fn url(&self, path: &str) -> Result<Url, Setback> {
        let url = self.server.origin().await?.join(&format!("{}/{path}", self.name));
        url.map_err(|error| Setback::Unusable(error.to_string()))
    }

    /// The answer to a question that is asked until it has one; transient faults are tried again.
    pub async fn insist<T>(&self, wanted: &str, ask: impl AsyncFn() -> Result<T, Setback>) -> Result<T, RegistryError> {
        let mut attempts = self.attempts(wanted);
        loop {
            self.turn(&attempts).await?;
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(setback) => self.met(setback, &mut attempts).await?,
            }
        }
    }

    /// No attempt yet at something.
    pub fn attempts<'a>(&self, wanted: &'a str) -> Attempts<'a> {
        Attempts::new(wanted, Patience::ForAServerThatIsThere, self.until)
    }

    /// The bytes of a manifest or image index, by its digest or by the tag of the reference. Transient faults are tried
    /// again, and so is once what does not have its digest: it may have been damaged on the way.
    pub async fn manifest(&self, digest: Option<&Digest>) -> Result<Vec<u8>, RegistryError> {
        let (wanted, path) = match digest {
            Some(digest) => (self.blob_name(digest), format!("manifests/{digest}")),
            None => (format!("{}:{}", self.name, self.tag), format!("manifests/{}", self.tag)),
        };
        let mut is_last = false;
        loop {
            let (bytes, headers) = self.document(&wanted, &path).await?;
            let found = Digest::of(&bytes);
            match digest.copied().or_else(|| stated_digest(&headers)) {
                Some(expected) if expected != found && is_last => {
                    let reason = format!("its digest is `{found}`, not `{expected}`");
                    return Err(RegistryError::Corrupt { registry: self.server.name.clone(), wanted, reason });
                }
                Some(expected) if expected != found => is_last = true,
                _ => return Ok(bytes),
            }
        }
    }

    /// A manifest or image index as it comes.
    async fn document(&self, wanted: &str, path: &str) -> Result<(Vec<u8>, HeaderMap), RegistryError> {
        let mut attempts = self.attempts(wanted);
        loop {
            self.turn(&attempts).await?;
            let question = self.get(path, &mut attempts.used, |request| request.header(ACCEPT, ACCEPTED.join(", ")));
            match self.server.transport.document(question, MAX_MANIFEST).await {
                Ok(document) => return Ok(document),
                Err(setback) => self.met(setback, &mut attempts).await?,
            }
        }
    }

    /// The digest of what the tag of the reference means, without its bytes (Distribution specification, `HEAD` of a
    /// manifest). Transient faults are tried again.
    pub async fn tagged(&self) -> Result<Digest, RegistryError> {
        let (wanted, path) = (format!("{}:{}", self.name, self.tag), format!("manifests/{}", self.tag));
        let mut attempts = self.attempts(&wanted);
        loop {
            self.turn(&attempts).await?;
            match self.head(&path, &mut attempts.used).await {
                Ok(digest) => return Ok(digest),
                Err(setback) => self.met(setback, &mut attempts).await?,
            }
        }
    }

    async fn head(&self, path: &str, used: &mut Option<Access>) -> Result<Digest, Setback> {
        let url = self.url(path).await?;
        let access = used.insert(self.access().await?);
        let furnish = |request: RequestBuilder| access.furnish(request.header(ACCEPT, ACCEPTED.join(", ")));
        let response = self.server.transport.send(Method::HEAD, url, furnish).await?;
        let response = self.server.transport.success(response).await?;
        let digest = stated_digest(response.headers());
        digest.ok_or_else(|| Setback::Unusable("it does not say which digest the tag has".to_owned()))
    }

    /// A part of a blob, or all of it where the server knows no ranges.
    pub async fn blob(&self, digest: &Digest, part: &Part, patience: Patience) -> Result<Answer, RegistryError> {
        let wanted = self.blob_name(digest);
        let mut attempts = Attempts::new(&wanted, patience, self.until);
        loop {
            self.turn(&attempts).await?;
            match self.part(digest, part, &mut attempts.used).await {
                Ok(response) => {
                    if !part.is_whole() {
                        self.server.note_range(response.status() == StatusCode::PARTIAL_CONTENT);
                    }
                    return Ok(Answer { response });
                }
                Err(setback) => self.met(setback, &mut attempts).await?,
            }
        }
    }

    /// Asks for a part of a blob where it was found last, and where that leads to nothing at the registry.
    async fn part(&self, digest: &Digest, part: &Part, used: &mut Option<Access>) -> Result<Response, Setback> {
        let bytes = format!("bytes={}-{}", part.range.start, part.range.end.saturating_sub(1));
        let furnish = |request: RequestBuilder| if part.is_whole() { request } else { request.header(RANGE, &bytes) };
        if let Some(place) = self.server.place_of(digest) {
            match self.server.transport.get(place, furnish).await {
                Ok(response) => return Ok(response),
                // Its signature has expired, or it fails: the registry may know a better place.
                Err(_) => self.server.forget_place(digest),
            }
        }
        let response = self.get(&format!("blobs/{digest}"), used, furnish).await?;
        self.server.note_place(digest, response.url());
        Ok(response)
    }

    /// The next piece of a blob, or its end; `pace` is told.
    pub async fn piece(&self, answer: &mut Answer, pace: &mut Pace) -> Result<Option<bytes::Bytes>, RegistryError> {
        pace.wait();
        let piece = self.server.transport.piece(&mut answer.response).await;
        let piece = piece.and_then(|piece| pace.came(piece.as_ref().map_or(0, bytes::Bytes::len)).map(|()| piece));
        piece.map_err(|setback| self.broken(setback))
    }

    /// Watches over the progress of a transfer.
    pub fn pace(&self) -> Pace {
        self.server.transport.pace()
    }

    /// The error of a transfer that broke.
    pub fn broken(&self, setback: Setback) -> RegistryError {
        failure(&self.asked(&|text| self.told(text), &|_| {}), setback, "").error
    }

    /// The error of an answer that is not what was asked for.
    pub fn other(&self, digest: &Digest, reason: String) -> RegistryError {
        RegistryError::Corrupt { registry: self.server.name.clone(), wanted: self.blob_name(digest), reason }
    }

    /// Returns when it is time to ask again after a setback, with a new token where one is wanted.
    ///
    /// # Errors
    /// When asking again is of no use.
    pub async fn met(&self, setback: Setback, attempts: &mut Attempts<'_>) -> Result<(), RegistryError> {
        let setback = match setback {
            Setback::Status(complaint) if complaint.status == StatusCode::UNAUTHORIZED && !attempts.renewed => {
                match self.renew(&complaint.challenges, attempts.used.take()).await {
                    Ok(true) => {
                        attempts.renewed = true;
                        return Ok(());
                    }
                    Ok(false) => Setback::Status(complaint),
                    Err(setback) => setback,
                }
            }
            setback => setback,
        };
        let delay = attempts.after(setback, &self.asked(&|text| self.told(text), &|time| self.server.stall(time)))?;
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Returns when the server may be asked, which it is not while it has asked anybody for patience.
    pub async fn turn(&self, attempts: &Attempts<'_>) -> Result<(), RegistryError> {
        loop {
            let stalled = self.server.stalled();
            if stalled.is_zero() {
                return Ok(());
            }
            if attempts.is_too_late_after(stalled) {
                let answer = format!("it wants to be asked again in {} s", stalled.as_secs());
                return Err(RegistryError::Unusable { registry: self.server.name.clone(), answer });
            }
            tokio::time::sleep(stalled).await;
        }
    }

    fn asked<'a>(&'a self, told: &'a dyn Fn(&str) -> String, stall: &'a dyn Fn(Duration)) -> Asked<'a> {
        Asked { server: &self.server.name, complaint: self.complaint.as_deref(), told, stall }
    }

    /// The answer of the repository; `used` is what it was asked with.
    async fn get(
        &self,
        path: &str,
        used: &mut Option<Access>,
        furnish: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Setback> {
        let url = self.url(path).await?;
        let access = used.insert(self.access().await?);
        self.server.transport.get(url, |request| furnish(access.furnish(request))).await
    }

    /// What to ask with.
    pub async fn access(&self) -> Result<Access, Setback> {
        if let Some(access) = self.door.access() {
            return Ok(access);
        }
        let _turn = self.door.turn.lock().await;
        match (self.door.access(), self.door.grant()) {
            (Some(access), _) => Ok(access),
            (None, Some(grant)) => {
                let renewed = self.answer(&grant.challenges).await;
                // The old one has not expired yet.
                Ok(renewed.unwrap_or_else(|_| {
                    self.door.take(grant.clone().until_refused());
                    grant.access
                }))
            }
            // A password is sent before the registry asks for it: what is hidden from others may seem not to exist.
            (None, None) if self.login != Login::Anonymous => self.introduced().await,
            (None, None) => Ok(Access::Anybody),
        }
    }

    /// Finds out how the registry wants to be asked, from how it answers to its own address.
    async fn introduced(&self) -> Result<Access, Setback> {
        let response = self.server.transport.ask(self.server.origin().await?.clone(), |request| request).await?;
        let challenges = if response.status() == StatusCode::UNAUTHORIZED {
            self.server.transport.complaint(response).await.challenges
        } else {
            Vec::new()
        };
        self.answer(&challenges).await
    }

    /// Gets a new token, since the one that was `used` has expired or there was none, by the challenges that came with the
    /// refusal, or else by those of the registry's own address; whether there is something to ask with now.
    async fn renew(&self, challenges: &[String], used: Option<Access>) -> Result<bool, Setback> {
        let _turn = self.door.turn.lock().await;
        // Another question was refused, too, and was faster.
        if self.door.access().is_some_and(|access| access.is_something() && used.is_some_and(|used| used != access)) {
            return Ok(true);
        }
        let access = match self.answer(challenges).await? {
            Access::Anybody => self.introduced().await?,
            access => access,
        };
        Ok(access.is_something())
    }

    async fn answer(&self, challenges: &[String]) -> Result<Access, Setback> {
        let whom = (self.server.origin().await?, self.scope.as_str());
        let (access, life) = Access::answer(challenges, &self.login, &self.server.transport, whom).await?;
        self.door.take(Grant::new(access.clone(), challenges, life, Instant::now()));
        Ok(access)
    }

    /// What a server says, in one line, without what must not be told.
    pub fn told(&self, text: &str) -> String {
        one_line(&self.login.hidden_in(&self.door.hidden_in(text)))
    }

    /// `repository@digest`, for messages.
    pub fn blob_name(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name)
    }
}

/// The digest that a registry says a manifest has, where it is one that lkit can check.
fn stated_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// The first part of a server's answer, without line ends and control characters.
fn one_line(answer: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = answer.chars().map(plain).take(200).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
