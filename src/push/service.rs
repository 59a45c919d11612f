//! One service on the network: questions that are signed anew for each try, answers that are bounded.
//!
//! # Invariants
//! - What a service answers is read up to [`MOST`] bytes. No wait is endless, and none outlasts the wish to end, but for
//!   what cleans up.
//! - Passwords, keys and tokens that a service sends back are hidden in what is told of its answer.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode, Url};

use super::{Error, Surroundings};
use crate::base::{ErrorKind, KIB, printable_line};
use crate::oci::{Blocking, Setback, Timeouts, Transport, Trust};

/// Longest answer that is read, in bytes: some dozen times of what services say.
const MOST: u64 = 128 * KIB;
/// How often a question is asked whose failures may pass.
pub(super) const TRIES: u32 = 5;
/// How long is waited before the second time; doubles.
const SOON: Duration = Duration::from_millis(250);
/// Longest wait that a service may ask for.
const LONGEST: Duration = Duration::from_secs(120);
/// Bytes of a body that are handed to the network at once.
const PIECE: usize = 64 << 10;
/// How long cleaning up may take.
const CLEANING: Duration = Duration::from_secs(20);

/// A question.
#[derive(Clone)]
pub(super) struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer, whatever its status is.
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Counts the bytes of all bodies that the network has taken.
pub(super) type Sent = Arc<AtomicU64>;

/// A service, and what it is waited with.
pub(super) struct Service {
    /// Host and port.
    name: String,
    transport: Transport,
    blocking: Blocking,
    surroundings: Arc<Surroundings>,
    /// Texts that must not be told.
    secrets: Mutex<Vec<String>>,
}

/// What a question that is asked once comes to.
pub(super) enum Attempt {
    /// An answer, or an error that asking again does not mend.
    Final(Result<Reply, Error>),
    /// What may pass; the service may say how long that takes.
    Passing(Result<Reply, Error>, Option<Duration>),
}

impl Call {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The same with a header. A value that is none is left out, as a value that was checked never is.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// The same with a header that is never told.
    pub fn secret(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }
}

impl Reply {
    /// The body as text, for messages and for what is parsed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Service {
    /// The service behind `url`; nothing is connected to yet. Plain http is for loopback, or for what the user wrote out.
    pub fn new(url: &Url, surroundings: &Arc<Surroundings>, secrets: Vec<String>) -> Result<Self, Error> {
        Self::trusting(url, &surroundings.trust, surroundings, secrets)
    }

    /// The same with another trust than that of all services.
    pub fn trusting(
        url: &Url,
        trust: &Trust,
        surroundings: &Arc<Surroundings>,
        secrets: Vec<String>,
    ) -> Result<Self, Error> {
        let timeouts = Timeouts::default();
        let transport = Transport::direct(timeouts, trust)
            .map_err(|error| Error::new(ErrorKind::Io, "cannot set up TLS").because(error))?;
        // It never ends by itself: what cleans up goes on when all else has ended.
        let blocking = Blocking::start(crate::base::Ending::default())
            .map_err(|error| Error::new(ErrorKind::Io, "cannot start threads").because(error))?;
        let host = url.host_str().unwrap_or_default();
        let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { name, transport, blocking, surroundings: surroundings.clone(), secrets: Mutex::new(secrets) })
    }

    /// Hides one more text in what is told.
    pub fn hide(&self, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.iter().any(|known| known == secret) {
            secrets.push(secret.to_owned());
        }
    }

    /// Host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `work` comes to, unless the program is to end or `limit` is over before.
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let timed = async {
            tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
                let message = format!("`{what}` was not pushed within {} s", limit.as_secs());
                Err(Error::new(ErrorKind::Unreachable, message).hint("give it more time with `--timeout SECONDS`"))
            })
        };
        let done = self.blocking.clone().until(&self.surroundings.ending).wait(timed);
        done.unwrap_or_else(|| Err(Error::interrupted(what)))
    }

    /// Does what cleans up, also when the program is to end; whether it was done in time.
    pub fn clean_up(&self, work: impl Future<Output = Result<(), Error>>) -> bool {
        // The clock is that of the runtime, which is there only inside.
        let done = self.blocking.wait(async { tokio::time::timeout(CLEANING, work).await });
        matches!(done, Some(Ok(Ok(()))))
    }

    /// The answer to a question; failures that may pass are met by asking again. `make` makes the question anew each time,
    /// since its signature has a time.
    pub async fn call(&self, make: &(dyn Fn() -> Call + Sync), sent: &Sent) -> Result<Reply, Error> {
        again(async || self.attempt(make(), sent).await).await
    }

    /// The answer to a PUT of `size` bytes whose body `make` makes anew each time; it counts what the network takes in what it
    /// is given, and in `sent`. The body of the call counts for nothing.
    pub async fn stream(
        &self,
        call: &Call,
        size: u64,
        make: impl Fn(&Sent) -> Result<reqwest::Body, Setback>,
        sent: &Sent,
    ) -> Result<Reply, Error> {
        let once = async || {
            let counted = Sent::default();
            let asked = match make(&counted) {
                Ok(body) => self.put(call.clone(), (body, size), &counted).await,
                Err(setback) => Err(setback),
            };
            self.judged(asked, &counted, sent)
        };
        again(once).await
    }

    /// The answer to a question that is asked once. What was sent in vain is not counted.
    pub async fn attempt(&self, call: Call, sent: &Sent) -> Attempt {
        let counted = Sent::default();
        let asked = self.once(call, &counted, sent).await;
        self.judged(asked, &counted, sent)
    }

    fn judged(&self, asked: Result<Reply, Setback>, counted: &Sent, sent: &Sent) -> Attempt {
        let passes = asked.as_ref().map_or_else(|setback| matches!(setback, Setback::Broken { .. }), may_pass);
        let delay = asked.as_ref().ok().and_then(wanted_delay);
        let asked = asked.map_err(|setback| self.failure(setback));
        if !passes {
            return Attempt::Final(asked);
        }
        sent.fetch_sub(counted.load(Ordering::Relaxed), Ordering::Relaxed);
        Attempt::Passing(asked, delay)
    }

    async fn once(&self, call: Call, counted: &Sent, sent: &Sent) -> Result<Reply, Setback> {
        let size = call.body.len() as u64;
        if call.method == Method::PUT && size > 0 {
            let body = Pieces { left: call.body.clone(), counted: counted.clone(), sent: sent.clone() };
            return self.put(call, (reqwest::Body::wrap(body), size), counted).await;
        }
        let Call { method, url, headers, body } = call;
        let furnish = |request: RequestBuilder| {
            let length = if size == 0 { request.header(CONTENT_LENGTH, 0) } else { request };
            length.headers(headers).body(body)
        };
        self.reply(self.transport.send(method, url, furnish).await?).await
    }

    async fn put(&self, call: Call, body: (reqwest::Body, u64), counted: &Sent) -> Result<Reply, Setback> {
        let (body, size) = body;
        let furnish = |request: RequestBuilder| request.headers(call.headers).body(body);
        self.reply(self.transport.put(call.url, furnish, (counted, size)).await?).await
    }

    async fn reply(&self, response: reqwest::Response) -> Result<Reply, Setback> {
        let status = response.status();
        let (body, headers) = self.transport.document(async { Ok(response) }, MOST).await?;
        Ok(Reply { status, headers, body })
    }

    /// The error of a service that could not be spoken with.
    fn failure(&self, setback: Setback) -> Error {
        let name = &self.name;
        let network = "check the network, and the address if you gave one";
        match setback {
            Setback::Broken { source, .. } => {
                Error::new(ErrorKind::Unreachable, format!("cannot reach `{name}`")).because(source).hint(network)
            }
            Setback::PlainHttp => Error::new(ErrorKind::Unreachable, format!("`{name}` does not speak https"))
                .hint(format!("if you trust the network between, name it with `--endpoint http://{name}`")),
            Setback::Untrusted(reason) => {
                Error::new(ErrorKind::Unreachable, format!("`{name}` is not trusted: {reason}"))
                    .hint("if you trust it, name the certificate of its authority with `--ca FILE`")
            }
            Setback::Status(complaint) => self.answered(&complaint.status.to_string()),
            Setback::Uncertified(reason) | Setback::Denied(reason) => {
                Error::new(ErrorKind::Denied, format!("`{name}` refused access: {reason}"))
            }
            Setback::Unusable(reason) | Setback::Wrong(reason) => self.answered(&reason),
        }
    }

    /// The error of an answer that is of no use.
    pub fn answered(&self, answer: &str) -> Error {
        let message = format!("`{}` answered: {}", self.name, self.told(answer));
        Error::new(ErrorKind::Unreachable, message)
    }

    /// What a service says, in one line and without secrets.
    pub fn told(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let hidden = secrets.iter().filter(|secret| secret.len() > 3);
        let text = hidden.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"));
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let end = line.char_indices().nth(300).map_or(line.len(), |(end, _)| end);
        printable_line(&line[..end]).to_string()
    }
}

/// Asks until the answer is final, or there were too many faults.
async fn again(ask: impl AsyncFn() -> Attempt) -> Result<Reply, Error> {
    let mut faults = 0;
    loop {
        let (asked, delay) = match ask().await {
            Attempt::Final(asked) => return asked,
            Attempt::Passing(asked, delay) => (asked, delay),
        };
        faults += 1;
        if faults == TRIES {
            return asked;
        }
        pause(faults, delay).await;
    }
}

/// Waits before a question is asked again that has failed so often: as long as the service says, or longer each time.
pub(super) async fn pause(faults: u32, delay: Option<Duration>) {
    tokio::time::sleep(delay.unwrap_or(SOON * 2_u32.pow(faults.clamp(1, TRIES) - 1)).min(LONGEST)).await;
}

/// Whether the same question may have a better answer later.
fn may_pass(reply: &Reply) -> bool {
    matches!(reply.status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long a service wants to be left alone, in seconds (RFC 9110, section 10.2.3).
pub(super) fn wanted_delay(reply: &Reply) -> Option<Duration> {
    reply.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// A body that counts how much of it the network has taken.
struct Pieces {
    left: Bytes,
    counted: Sent,
    sent: Sent,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let len = self.left.len().min(PIECE);
        if len == 0 {
            return Poll::Ready(None);
        }
        let piece = self.left.split_to(len);
        self.counted.fetch_add(len as u64, Ordering::Relaxed);
        self.sent.fetch_add(len as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// A URL that the user wrote out or that is ours.
pub(super) fn address(text: &str, what: &str) -> Result<Url, Error> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Error::usage(format!("{what}: `{}` is no URL", crate::base::shown_url(text)))
            .hint("write it as `https://HOST[:PORT]`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_a_service_sends_back_are_hidden() {
        let surroundings = Arc::new(Surroundings::default());
        let url = Url::parse("http://127.0.0.1:1").unwrap();
        let service = Service::new(&url, &surroundings, vec!["hunter22".to_owned()]).unwrap();
        assert_eq!(service.told("your key\nhunter22  is \x1b[1m wrong"), r"your key *** is \x1b[1m wrong");
        assert!(service.told(&"x".repeat(5000)).len() == 300);
        service.hide("tok-1");
        assert_eq!(service.told("tok-1 is no token of hunter22"), "*** is no token of ***");
    }
}
