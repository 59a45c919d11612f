//! What a client has of a file already, as the headers of its question say, and which bytes it wants therefore.
//!
//! # Format
//! RFC 9110: section 8.8 (validators), 13 (conditions), 14 (ranges).

use std::ops::Range;
use std::time::SystemTime;

use hyper::header::{
    CONTENT_RANGE, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    RANGE,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::body::Body;
use super::range::Wanted;
use super::reply::{complaint, set, values};

/// What tells one state of a file from another.
pub(super) struct Validators {
    /// A tag that is the same only for the same bytes, in quotes.
    pub etag: String,
    /// When it was changed, in whole seconds; `None` for what bears no date.
    pub modified: Option<SystemTime>,
}

impl Validators {
    /// The answer to a question for a file of `size` bytes: `described` has its headers and no body, `sent` a part of it, or
    /// all of it in the place of `None`.
    pub(super) fn answer(
        &self,
        head: &Parts,
        size: u64,
        described: impl FnOnce() -> Response<Body>,
        sent: impl FnOnce(Option<Range<u64>>) -> Response<Body>,
    ) -> Response<Body> {
        if self.is_another(head) {
            return complaint(StatusCode::PRECONDITION_FAILED, "the file is another one now");
        }
        if self.is_known(head) {
            let mut response = described();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        match self.wanted(head, size) {
            Wanted::Nothing => {
                let mut response = complaint(StatusCode::RANGE_NOT_SATISFIABLE, "the file has fewer bytes");
                set(&mut response, CONTENT_RANGE, visible(format!("bytes */{size}")));
                response
            }
            Wanted::Part(range) => {
                let span = visible(format!("bytes {}-{}/{size}", range.start, range.end - 1));
                let mut response = sent(Some(range));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(&mut response, CONTENT_RANGE, span);
                response
            }
            Wanted::Whole => sent(None),
        }
    }

    /// Whether the client asks for another state of the file; a date counts only where there is no tag.
    fn is_another(&self, head: &Parts) -> bool {
        match self.names_tag(head, IF_MATCH) {
            Some(is_named) => !is_named,
            None => self.modified.zip(date(head, IF_UNMODIFIED_SINCE)).is_some_and(|(modified, date)| modified > date),
        }
    }

    /// Whether the client has the file as it is.
    fn is_known(&self, head: &Parts) -> bool {
        match self.names_tag(head, IF_NONE_MATCH) {
            Some(is_named) => is_named,
            None => self.modified.zip(date(head, IF_MODIFIED_SINCE)).is_some_and(|(modified, date)| modified <= date),
        }
    }

    /// Whether a condition's header names the tag; `None` where there is no such header.
    fn names_tag(&self, head: &Parts, condition: HeaderName) -> Option<bool> {
        if !head.headers.contains_key(&condition) {
            return None;
        }
        let is_weak = condition == IF_NONE_MATCH;
        let tags = values(head, condition);
        let etag = self.etag.as_str();
        let is_it = |tag: &str| tag == "*" || tag == etag || (is_weak && tag.strip_prefix("W/") == Some(etag));
        Some(tags.split(',').map(str::trim).any(is_it))
    }

    /// The bytes that are wanted. The part of another file than the client has is not; a date does not tell.
    fn wanted(&self, head: &Parts, size: u64) -> Wanted {
        let mut ranges = head.headers.get_all(RANGE).iter();
        let condition = head.headers.get(IF_RANGE);
        match (ranges.next().map(HeaderValue::to_str), ranges.next()) {
            (Some(Ok(range)), None) if condition.is_none_or(|tag| tag == &*self.etag) => Wanted::parse(range, size),
            _ => Wanted::Whole,
        }
    }
}

/// The date of a header; none where it has none that can be read.
fn date(head: &Parts, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(head.headers.get(name)?.to_str().ok()?).ok()
}

/// A header's value of visible ASCII.
pub(super) fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, letters and signs are visible ASCII")
}
