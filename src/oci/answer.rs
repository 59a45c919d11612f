//! The answer to a question for bytes of a blob: which bytes it holds.
//!
//! # Format
//! RFC 9110, sections 14.4 (`Content-Range`) and 15.3.7 (206). An answer may hold fewer bytes of a range than were asked
//! for, and all of the blob where its server knows no ranges.

use std::ops::Range;

use reqwest::header::{CONTENT_RANGE, HeaderMap};
use reqwest::{Response, StatusCode};

/// An answer that is a success.
pub(super) struct Answer {
    pub response: Response,
}

/// The bytes of a blob that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub range: Range<u64>,
    /// Whether the blob ends where the range does.
    pub is_to_end: bool,
}

/// Which bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coming {
    /// How many of them stand before those that are wanted.
    pub skip: u64,
    /// Offset in the blob behind the last one.
    pub end: u64,
    /// Whether they are a range, and not the whole blob.
    pub is_range: bool,
}

/// Why the bytes are of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// They are from another place, as the header says.
    Place(String),
    /// The blob has this size.
    Size(u64),
}

impl Part {
    /// A whole blob of `size` bytes.
    pub const fn whole(size: u64) -> Self {
        Self { range: 0..size, is_to_end: true }
    }

    /// A range of a blob.
    pub const fn of(range: Range<u64>) -> Self {
        Self { range, is_to_end: false }
    }

    /// Whether it is all of the blob, which need not be asked for by a range.
    pub const fn is_whole(&self) -> bool {
        self.is_to_end && self.range.start == 0
    }
}

impl Answer {
    /// Which bytes come in the place of those that are wanted.
    ///
    /// # Errors
    /// When none of these are among them, or the blob has another size than it should.
    pub fn coming(&self, wanted: &Part) -> Result<Coming, Misfit> {
        let length = self.response.content_length();
        if self.response.status() == StatusCode::PARTIAL_CONTENT {
            range(&content_range(self.response.headers()), length, wanted)
        } else {
            whole(length, wanted)
        }
    }
}

fn content_range(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// What comes in an answer that is a range, as `said`; without a word it is the one that was asked for.
fn range(said: &Option<String>, length: Option<u64>, wanted: &Part) -> Result<Coming, Misfit> {
    let Range { start, end } = wanted.range;
    let Some(said) = said else {
        let other = length.filter(|length| *length != end - start);
        let coming = Coming { skip: 0, end, is_range: true };
        return other.map_or(Ok(coming), |other| Err(Misfit::Size(start.saturating_add(other))));
    };
    let other = || Misfit::Place(said.clone());
    let (first, behind, size) = parsed(said).ok_or_else(other)?;
    match size {
        Some(size) if size < end || wanted.is_to_end && size != end => return Err(Misfit::Size(size)),
        _ => {}
    }
    let is_of_wanted = first == start && start < behind && behind <= end;
    if !is_of_wanted || length.is_some_and(|length| length != behind - first) {
        return Err(other());
    }
    Ok(Coming { skip: 0, end: behind, is_range: true })
}

/// First offset, the one behind the last, and the size of the blob where that is said.
fn parsed(said: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, size) = said.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let size = if size == "*" { None } else { Some(size.parse().ok()?) };
    Some((first.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?, size))
}

/// What comes in an answer that is the whole blob.
fn whole(length: Option<u64>, wanted: &Part) -> Result<Coming, Misfit> {
    let Range { start, end } = wanted.range;
    match length {
        Some(size) if size < end || wanted.is_to_end && size != end => Err(Misfit::Size(size)),
        // The rest may be wanted later.
        Some(size) => Ok(Coming { skip: start, end: size, is_range: false }),
        None => Ok(Coming { skip: start, end, is_range: false }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_must_be_of_the_place_that_was_asked_for() {
        let coming = |end| Ok(Coming { skip: 0, end, is_range: true });
        let place = |said: &str| Err(Misfit::Place(said.to_owned()));
        let rows = [
            ("bytes 10-19/100", Some(10), coming(20)),
            ("bytes 10-19/*", None, coming(20)),
            ("bytes 10-14/100", Some(5), coming(15)),
            ("bytes 10-14/100", Some(10), place("bytes 10-14/100")),
            ("bytes 11-19/100", None, place("bytes 11-19/100")),
            ("bytes 0-19/100", None, place("bytes 0-19/100")),
            ("bytes 10-20/100", None, place("bytes 10-20/100")),
            ("bytes 10-9/100", None, place("bytes 10-9/100")),
            ("bytes 10-18446744073709551615/*", None, place("bytes 10-18446744073709551615/*")),
            ("bytes */100", None, place("bytes */100")),
            ("lines 10-19/100", None, place("lines 10-19/100")),
            ("", None, place("")),
            ("bytes 10-18/19", Some(9), Err(Misfit::Size(19))),
        ];
        for (said, length, expected) in rows {
            assert_eq!(range(&Some(said.to_owned()), length, &Part::of(10..20)), expected, "{said}");
        }
        assert_eq!(range(&None, Some(10), &Part::of(10..20)), coming(20));
        assert_eq!(range(&None, Some(9), &Part::of(10..20)), Err(Misfit::Size(19)));
    }

    #[test]
    fn the_size_of_a_blob_is_known_where_its_end_is_wanted() {
        let rest = Part { range: 10..20, is_to_end: true };
        assert_eq!(range(&Some("bytes 10-19/21".to_owned()), None, &rest), Err(Misfit::Size(21)));
        assert_eq!(whole(Some(21), &rest), Err(Misfit::Size(21)));
        assert_eq!(whole(Some(19), &Part::of(10..20)), Err(Misfit::Size(19)));
        assert_eq!(whole(Some(100), &Part::of(10..20)), Ok(Coming { skip: 10, end: 100, is_range: false }));
        assert_eq!(whole(None, &Part::whole(20)), Ok(Coming { skip: 0, end: 20, is_range: false }));
    }
}
