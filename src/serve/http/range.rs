//! Which part of an artifact a request wants.
//!
//! # Format
//! RFC 9110: section 14.1.2 (byte ranges), 13.1.5 (If-Range).

use std::ops::Range;

/// What a `Range` header comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: there is no such header, or one that a server may ignore, such as one with several ranges.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that lie behind the end.
    Nothing,
}

impl Wanted {
    /// What the value of a `Range` header wants of `size` bytes.
    pub(super) fn parse(value: &str, size: u64) -> Self {
        let Some((unit, range)) = value.split_once('=') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let ends = range.trim().split_once('-').and_then(|(first, last)| Some((End::parse(first)?, End::parse(last)?)));
        match ends {
            None | Some((End::Open, End::Open)) => Self::Whole,
            Some((End::At(first), End::At(last))) if first > last => Self::Whole,
            Some((End::At(first), _)) if first >= size => Self::Nothing,
            Some((End::At(first), End::At(last))) => Self::Part(first..size.min(last.saturating_add(1))),
            Some((End::At(first), End::Open)) => Self::Part(first..size),
            Some((End::Open, End::At(count))) if count.min(size) == 0 => Self::Nothing,
            Some((End::Open, End::At(count))) => Self::Part(size.saturating_sub(count)..size),
        }
    }
}

/// One end of a range.
enum End {
    At(u64),
    Open,
}

impl End {
    /// A number beyond all sizes is the largest one.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Open);
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self::At(text.parse().unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        let rows = [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..10),
            ("bytes=3-4", 3..5),
            ("bytes=9-9", 9..10),
            ("bytes=5-99", 5..10),
            ("bytes=5-18446744073709551615", 5..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("bytes=-1", 9..10),
            ("bytes=-99", 0..10),
            ("BYTES= 1-2 ", 1..3),
        ];
        for (value, range) in rows {
            assert_eq!(Wanted::parse(value, 10), Wanted::Part(range), "{value}");
        }
    }

    #[test]
    fn a_range_behind_the_end_is_none() {
        for value in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(Wanted::parse(value, 10), Wanted::Nothing, "{value}");
        }
        for value in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(Wanted::parse(value, 0), Wanted::Nothing, "{value}");
        }
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored() {
        let rows = ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=4-3", "bytes=+1-2", "bytes=1-2-3"];
        for value in rows.into_iter().chain(["bytes=0-1,3-4", "bytes=1- 2", "lines=1-2", "bytes=0x1-2", "-1-2"]) {
            assert_eq!(Wanted::parse(value, 10), Wanted::Whole, "{value}");
        }
    }
}
