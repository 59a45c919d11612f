//! What answers are written with: headers, texts, and what goes wrong.

use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::body::Body;
use crate::base::{ErrorKind, Fault, in_line, printable_line};

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
/// A page runs nothing and loads nothing.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

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
    let hint = error.advice().map(|hint| format!("\nhint: {}", printable_line(&hint))).unwrap_or_default();
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
