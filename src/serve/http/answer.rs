//! Questions and their answers: which path shows what, and what goes wrong.

use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Response, StatusCode, Version};
use percent_encoding::percent_decode_str;

use super::accepted::prefers_json;
use super::artifact;
use super::body::{Body, Room};
use super::encoded::Encoders;
use super::listing::Listing;
use super::page::page;
use crate::base::{ErrorKind, Fault, in_line, printable, printable_line};
use crate::serve::ipxe;
use crate::serve::{Exports, Generation};

/// What all answers are made from.
pub(super) struct Shop {
    pub exports: Exports,
    pub room: Room,
    pub encoders: Encoders,
    /// `http` or `https`.
    pub scheme: &'static str,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html; charset=utf-8";
/// A page runs nothing and loads nothing.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// What is shown at the paths of a server. All of it may block.
pub(super) trait Shelf: Send + Sync + 'static {
    /// What stands at the path of a question, which begins behind its first slash; `base` is the URL of the server as the
    /// client wrote it, without a scheme: `HOST/`, or nothing.
    fn show(&self, head: &Parts, path: &str, base: &str) -> Response<Body>;
}

/// The answer to a question. It may block.
pub(super) fn answer(shelf: &dyn Shelf, head: &Parts) -> Response<Body> {
    let mut response = respond(shelf, head);
    if head.method == Method::HEAD {
        *response.body_mut() = Body::text("");
    }
    response
}

fn respond(shelf: &dyn Shelf, head: &Parts) -> Response<Body> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut refused = complaint(StatusCode::METHOD_NOT_ALLOWED, "files can be read here, and nothing else");
        set(&mut refused, ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let Ok(host) = host(head) else {
        return complaint(StatusCode::BAD_REQUEST, "the request names no host, or one that is none");
    };
    let Some(path) = head.uri.path().strip_prefix('/') else {
        return complaint(StatusCode::BAD_REQUEST, "the path of a request begins with `/`");
    };
    shelf.show(head, path, &host.map_or_else(String::new, |host| format!("{host}/")))
}

impl Shelf for Shop {
    fn show(&self, head: &Parts, path: &str, base: &str) -> Response<Body> {
        let base = if base.is_empty() { String::new() } else { format!("{}://{base}", self.scheme) };
        let generation = self.exports.now();
        let name = percent_decode_str(path).decode_utf8_lossy();
        if let Some(artifact) = generation.get(&name) {
            return artifact::answer(self, head, &generation, artifact);
        }
        match &*name {
            "" => index(&generation, head, &base),
            "index.json" => text(JSON, Listing::of(&generation).json()),
            "ipxe" | "boot.ipxe" => ipxe::script(&generation, &base).map_or_else(|e| failure(&e), |it| text(TEXT, it)),
            _ => not_found(&generation, &name),
        }
    }
}

/// The page for people, or its content for programs.
fn index(generation: &Generation, head: &Parts, base: &str) -> Response<Body> {
    let listing = Listing::of(generation);
    let accept = values(head, hyper::header::ACCEPT);
    let mut response = match prefers_json(&accept) {
        true => text(JSON, listing.json()),
        false => text(HTML, page(&listing, base)),
    };
    set(&mut response, VARY, HeaderValue::from_static("accept"));
    set(&mut response, hyper::header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn not_found(generation: &Generation, name: &str) -> Response<Body> {
    let mut names: Vec<&str> = generation.artifacts.iter().map(|artifact| artifact.name()).collect();
    names.extend(["ipxe", "index.json"]);
    let names: String = names.iter().map(|name| format!("  {}\n", printable(name.as_bytes()))).collect();
    let message = format!("there is no `{}` here; there are\n{names}", printable(name.as_bytes()));
    let mut response = text(TEXT, message);
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The host that the client asked, as it wrote it; `None` where an old client may leave it out.
fn host(head: &Parts) -> Result<Option<String>, ()> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let written = match (head.uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(()),
        (Some(authority), _, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().map_err(|_| ())?,
        (None, None, None) if head.version < Version::HTTP_11 => return Ok(None),
        (None, None, None) => return Err(()),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_host = written.bytes().all(is_plain) && written.parse::<Authority>().is_ok();
    if is_host { Ok(Some(written.to_owned())) } else { Err(()) }
}

/// All values of a header as one list; what is no text has none.
pub(super) fn values(head: &Parts, name: HeaderName) -> String {
    let values: Vec<&str> = head.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// A text that was made for this answer.
pub(super) fn text(kind: &'static str, text: String) -> Response<Body> {
    let len = text.len();
    let mut response = Response::new(Body::text(text));
    set(&mut response, CONTENT_TYPE, HeaderValue::from_static(kind));
    set(&mut response, CONTENT_LENGTH, HeaderValue::from(len));
    set(&mut response, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    set(&mut response, hyper::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A message in one line.
pub(super) fn complaint(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = text(TEXT, format!("error: {message}\n"));
    *response.status_mut() = status;
    response
}

/// Why something cannot be had, and what to do about it.
pub(super) fn failure(error: &impl Fault) -> Response<Body> {
    let hint = error.hint().map(|hint| format!("\nhint: {}", printable_line(&hint))).unwrap_or_default();
    complaint(status(error.kind()), &format!("{}{hint}", printable_line(&in_line(error))))
}

pub(super) fn set(response: &mut Response<Body>, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}

/// The status of an answer that is a failure: 503 where the same question may be answered later.
const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::ImageNotFound | ErrorKind::Unreachable | ErrorKind::Busy | ErrorKind::Interrupted => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::Usage
        | ErrorKind::Spec
        | ErrorKind::Denied
        | ErrorKind::Corrupt
        | ErrorKind::Unsupported
        | ErrorKind::Io => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
