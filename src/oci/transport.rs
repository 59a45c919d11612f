//! Questions over HTTP whose answers are bounded while they arrive: in bytes, in silence, and in slowness.
//!
//! # Invariants
//! - A body is read piece by piece, and no further than its limit; what a server says of its length is believed only
//!   when it is too much. A document that was compressed unasked is decompressed within the same limit.
//! - No wait is endless: connections, answers, pieces and whole documents have their time, and a transfer that goes on
//!   must make some progress.
//! - No URL is part of an error: a redirect may have led to one that is signed.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url};

use super::RegistryError;
use super::body::Body;
use super::trust::{Certificates, Trust};

/// Bytes of an answer that is an error which are read; messages show the beginning.
const MAX_COMPLAINT: usize = 8 << 10;
/// Redirects that are followed from one question.
const MAX_REDIRECTS: usize = 10;

/// How long servers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer, redirects included, and then for each piece of its body.
    pub silence: Duration,
    /// For a whole document, such as a manifest or a token.
    pub document: Duration,
    /// For 64 KiB of a blob, while one is transferred.
    pub progress: Duration,
    /// For 64 KiB of a range, by a reader that had better wait than fail: servers that fail meanwhile are asked again.
    pub reader: Duration,
}

/// How many times the time for progress a registry may take to keep a blob that it has got: one over an object store
/// copies it once more.
const COMMIT: u32 = 5;
/// Bytes of a blob that must come in the time for progress, of about a kilobyte in a second by default.
pub(super) const LEAST: u64 = 64 << 10;

impl Default for Timeouts {
    /// People wait for connections; servers may be busy for a while.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            document: Duration::from_secs(60),
            progress: Duration::from_secs(60),
            reader: Duration::from_secs(300),
        }
    }
}

/// Why a question has no good answer.
#[derive(Debug)]
pub(crate) enum Setback {
    /// The connection failed, or broke.
    Broken {
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
        /// When.
        stage: Stage,
    },
    /// The server's certificate is not trusted, for this reason.
    Untrusted(String),
    /// It wants a certificate, and says this.
    Uncertified(String),
    /// The server does not speak TLS.
    PlainHttp,
    /// It answered with another status than success.
    Status(Complaint),
    /// It does not let us in, for this reason.
    Denied(String),
    /// It cannot be used, for this reason.
    Unusable(String),
    /// What it sends is not what was asked for.
    Wrong(String),
}

/// When a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before it was there, or nothing came: nobody may be there.
    Silent,
    /// While TLS was agreed on: somebody is there who may not speak it.
    Handshake,
    /// Later.
    Transfer,
}

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub status: StatusCode,
    /// The beginning of its body.
    pub text: String,
    /// When to ask again, where the server says so.
    pub retry_after: Option<Duration>,
    /// Its `WWW-Authenticate` headers.
    pub challenges: Vec<String>,
}

/// Asks servers.
#[derive(Clone)]
pub(crate) struct Transport {
    client: Client,
    timeouts: Timeouts,
}

impl Transport {
    /// Has connected to nothing yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new(timeouts: Timeouts, certificates: Certificates) -> reqwest::Result<Self> {
        Self::with(timeouts, certificates, Policy::custom(follow))
    }

    /// The same for servers that are shown a signature or a token with each question: no redirect leads it elsewhere.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn direct(timeouts: Timeouts, trust: &Trust) -> Result<Self, RegistryError> {
        let made = Self::with(timeouts, trust.of_all()?, Policy::none());
        made.map_err(|error| RegistryError::Unreachable { registry: "any".to_owned(), source: error.into() })
    }

    fn with(timeouts: Timeouts, certificates: Certificates, redirects: Policy) -> reqwest::Result<Self> {
        provide_tls();
        let Certificates { roots, identity } = certificates;
        let client = Client::builder().tls_certs_merge(roots);
        let client = identity.into_iter().fold(client, ClientBuilder::identity);
        let client = client
            .connect_timeout(timeouts.connect)
            .user_agent(concat!("lkit/", env!("CARGO_PKG_VERSION")))
            .redirect(redirects)
            // It would tell the server that a redirect leads to where it came from.
            .referer(false)
            .build()?;
        Ok(Self { client, timeouts })
    }

    /// The answer to a question, whatever its status is; its body has not been read.
    pub async fn ask(
        &self,
        url: Url,
        furnish: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Setback> {
        self.send(Method::GET, url, furnish).await
    }

    /// The same for another method.
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        furnish: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Setback> {
        let answer = self.in_time(furnish(self.client.request(method, url)).send()).await?;
        answer.map_err(Setback::from)
    }

    /// The answer to a blob that is sent with PUT; `sent` counts its bytes, and `size` of them are all.
    ///
    /// # Errors
    /// `Broken` also when a registry takes nothing for as long as progress may take, or does not say for some time that
    /// it has all.
    pub async fn put(
        &self,
        url: Url,
        furnish: impl FnOnce(RequestBuilder) -> RequestBuilder,
        (sent, size): (&AtomicU64, u64),
    ) -> Result<Response, Setback> {
        let mut sending = pin!(furnish(self.client.put(url)).send());
        let (mut before, mut idle) = (0, 0);
        loop {
            if let Ok(answer) = tokio::time::timeout(self.timeouts.progress, &mut sending).await {
                return answer.map_err(Setback::from);
            }
            let now = sent.load(Ordering::Relaxed);
            idle = if now >= before + LEAST { 0 } else { idle + 1 };
            if idle == if now == size { COMMIT } else { 1 } {
                return Err(late(self.timeouts.progress * idle));
            }
            before = now;
        }
    }

    /// The answer to a form that is sent, which is a success.
    pub async fn send_form(&self, url: Url, form: String) -> Result<Response, Setback> {
        let request = self.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let response = self.in_time(request.send()).await?.map_err(Setback::from)?;
        self.success(response).await
    }

    /// The answer to a question, which is a success.
    pub async fn get(
        &self,
        url: Url,
        furnish: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Setback> {
        let response = self.ask(url, furnish).await?;
        self.success(response).await
    }

    /// The answer if it is a success.
    pub async fn success(&self, response: Response) -> Result<Response, Setback> {
        if response.status().is_success() { Ok(response) } else { Err(Setback::Status(self.complaint(response).await)) }
    }

    /// The next piece of a body, or its end.
    pub async fn piece(&self, response: &mut Response) -> Result<Option<Bytes>, Setback> {
        self.in_time(response.chunk()).await?.map_err(Setback::from)
    }

    /// The body of the answer that `question` gives, of at most `limit` bytes; with its headers.
    pub async fn document(
        &self,
        question: impl Future<Output = Result<Response, Setback>>,
        limit: u64,
    ) -> Result<(Vec<u8>, HeaderMap), Setback> {
        let whole = async {
            let mut response = question.await?;
            let headers = std::mem::take(response.headers_mut());
            let body = self.body(response, &headers, limit).await?;
            Ok((body, headers))
        };
        tokio::time::timeout(self.timeouts.document, whole).await.unwrap_or_else(|_| Err(late(self.timeouts.document)))
    }

    async fn body(&self, mut response: Response, headers: &HeaderMap, limit: u64) -> Result<Vec<u8>, Setback> {
        let mut body =
            Body::new(headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes), limit).map_err(Setback::Wrong)?;
        if let Some(length) = response.content_length().filter(|length| *length > limit) {
            return Err(Setback::Wrong(format!("it has {length} bytes, over the limit of {limit}")));
        }
        while let Some(piece) = self.piece(&mut response).await? {
            body.take(&piece).map_err(Setback::Wrong)?;
        }
        body.finish().map_err(Setback::Wrong)
    }

    /// What is told of an answer that is an error. Its body only explains it: where that breaks off, the rest counts.
    pub async fn complaint(&self, mut response: Response) -> Complaint {
        let (status, mut text) = (response.status(), Vec::new());
        // Docker's registry says of a range that it has not that the blob follows.
        if status != StatusCode::RANGE_NOT_SATISFIABLE {
            let read = async {
                while let Ok(Some(piece)) = self.piece(&mut response).await {
                    let room = MAX_COMPLAINT - text.len();
                    text.extend_from_slice(&piece[..piece.len().min(room)]);
                    if text.len() == MAX_COMPLAINT {
                        return;
                    }
                }
            };
            // A body that does not end in time is cut as one that is too long.
            let _ = tokio::time::timeout(self.timeouts.silence, read).await;
        }
        let headers = response.headers();
        let challenges = headers.get_all(WWW_AUTHENTICATE).into_iter();
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| wait_of(value.to_str().ok()?.trim()));
        Complaint {
            status,
            text: String::from_utf8_lossy(&text).into_owned(),
            retry_after,
            challenges: challenges.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect(),
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Setback> {
        tokio::time::timeout(self.timeouts.silence, work).await.map_err(|_| late(self.timeouts.silence))
    }

    /// Watches over the progress of a transfer.
    pub fn pace(&self) -> Pace {
        Pace { limit: self.timeouts.progress, waited: Duration::ZERO, received: 0, since: Instant::now() }
    }
}

/// Follows redirects, but not for ever, and not to where what is sent can be read on the way. That no password goes to
/// another server is seen to by the client.
fn follow(redirect: Attempt<'_>) -> Action {
    if redirect.previous().len() > MAX_REDIRECTS {
        return redirect.error("too many redirects");
    }
    let was_secret = redirect.previous().iter().any(|url| url.scheme() == "https");
    if was_secret && redirect.url().scheme() != "https" {
        return redirect.error("it redirects from https to plain http");
    }
    redirect.follow()
}

/// The wait that a `Retry-After` asks for: in seconds, or until a date (RFC 9110, section 10.2.3).
fn wait_of(text: &str) -> Option<Duration> {
    let until =
        || httpdate::parse_http_date(text).ok().map(|date| date.duration_since(SystemTime::now()).unwrap_or_default());
    text.parse().ok().map(Duration::from_secs).or_else(until)
}

/// Gives TLS its cryptography, which a client must have before it is made.
pub fn provide_tls() {
    // An error says that it has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Counts what comes in the time that a transfer is waited for.
pub(crate) struct Pace {
    limit: Duration,
    waited: Duration,
    received: u64,
    since: Instant,
}

impl Pace {
    /// A piece is waited for from now on.
    pub fn wait(&mut self) {
        self.since = Instant::now();
    }

    /// A piece of `bytes` has come.
    ///
    /// # Errors
    /// When there were too few in the time for progress.
    pub fn came(&mut self, bytes: usize) -> Result<(), Setback> {
        self.waited += self.since.elapsed();
        self.received += bytes as u64;
        if self.received >= LEAST {
            (self.waited, self.received) = (Duration::ZERO, 0);
        }
        if self.waited < self.limit {
            return Ok(());
        }
        let slow = format!("only {} bytes came in {} s", self.received, self.waited.as_secs());
        Err(broken(io::Error::new(io::ErrorKind::TimedOut, slow)))
    }
}

/// The setback of a connection that broke.
pub(super) fn broken(source: io::Error) -> Setback {
    Setback::Broken { source: source.into(), stage: Stage::Transfer }
}

fn late(limit: Duration) -> Setback {
    let late = format!("no answer within {} s", limit.as_secs());
    Setback::Broken { source: io::Error::new(io::ErrorKind::TimedOut, late).into(), stage: Stage::Silent }
}

impl Setback {
    /// Whether the server is there, but perhaps does not speak TLS.
    pub const fn is_before_tls(&self) -> bool {
        matches!(self, Self::PlainHttp | Self::Broken { stage: Stage::Handshake, .. })
    }
}

impl From<reqwest::Error> for Setback {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if let Some(flaw) = causes(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return of_tls(flaw, error.is_connect());
        }
        let root = root_of(&error);
        if error.is_redirect() || error.is_builder() {
            return Self::Unusable(root);
        }
        let system = causes(&error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
        let stage = match system.map(io::Error::kind) {
            // A connection that is not there yet cannot end.
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
                if error.is_connect() =>
            {
                Stage::Handshake
            }
            _ if error.is_connect() || error.is_timeout() => Stage::Silent,
            _ => Stage::Transfer,
        };
        Self::Broken { source: root.into(), stage }
    }
}

/// Why an exchange with a server failed, in a line without its URL.
pub fn failed_exchange(error: reqwest::Error) -> String {
    match Setback::from(error) {
        Setback::PlainHttp => "the server does not speak https, but plain http as it seems".to_owned(),
        Setback::Broken { source, .. } => source.to_string(),
        Setback::Status(complaint) => complaint.status.to_string(),
        Setback::Untrusted(reason)
        | Setback::Uncertified(reason)
        | Setback::Denied(reason)
        | Setback::Unusable(reason)
        | Setback::Wrong(reason) => reason,
    }
}

/// What it means that TLS failed.
fn of_tls(flaw: &rustls::Error, is_connecting: bool) -> Setback {
    use rustls::AlertDescription::{BadCertificate, CertificateRequired, UnknownCA};
    match flaw {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Setback::PlainHttp,
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            Setback::Untrusted("its certificate was made by an authority that is not known here".to_owned())
        }
        rustls::Error::InvalidCertificate(_) => Setback::Untrusted(flaw.to_string()),
        rustls::Error::AlertReceived(CertificateRequired | BadCertificate | UnknownCA) => {
            Setback::Uncertified(flaw.to_string())
        }
        _ => {
            let stage = if is_connecting { Stage::Handshake } else { Stage::Transfer };
            Setback::Broken { source: flaw.to_string().into(), stage }
        }
    }
}

/// An error and its causes, the innermost last.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |&error| {
        // What an error of the operating system's type holds is not its source.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// The innermost cause: what stands around it repeats what the message says already.
pub(super) fn root_of(error: &dyn StdError) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}
