//! Read lists: which bytes of which layers were decoded, to be fetched at the next start before they are read.
//!
//! # Format
//! JSON: `{"version": 1, "layers": [{"digest": "sha256:…", "ranges": [[start, end], …]}]}`, layers in the order in which they
//! were first read, of each the ranges of its compressed bytes, sorted.
//!
//! # Invariants
//! A list is a hint: who has a wrong one fetches what nobody reads, and nothing else follows. What is wrong in it is passed
//! over, and it is of bounded size.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::{Digest, MIB};
use crate::blob::Note;

/// The only version there is.
const VERSION: u32 = 1;
/// Most layers of a list, and most ranges of all of them.
const LAYERS: usize = 1000;
const RANGES: usize = 20_000;

/// Which bytes of which layers are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Json", into = "Json")]
pub struct ReadList {
    layers: Vec<(Digest, Vec<Range<u64>>)>,
}

#[derive(Deserialize, Serialize)]
struct Json {
    version: u32,
    layers: Vec<JsonLayer>,
}

#[derive(Deserialize, Serialize)]
struct JsonLayer {
    digest: String,
    ranges: Vec<[u64; 2]>,
}

impl ReadList {
    /// Largest list in bytes.
    pub const LARGEST: u64 = MIB;

    /// Reads a list; what names no bytes of a layer is passed over.
    ///
    /// # Errors
    /// Why it is none, in a clause.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > Self::LARGEST {
            return Err(format!("it has over {} MiB", Self::LARGEST / MIB));
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The list as text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).expect("lists hold text and numbers");
        text.push(b'\n');
        text
    }

    /// What it says of these layers.
    #[must_use]
    pub fn of_layers(&self, layers: &[Digest]) -> Self {
        Self { layers: self.layers.iter().filter(|(digest, _)| layers.contains(digest)).cloned().collect() }
    }

    /// Adds another list behind this one.
    pub fn append(&mut self, other: Self) {
        other.layers.into_iter().for_each(|(digest, ranges)| self.add(digest, ranges));
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layers with their ranges.
    pub(super) fn layers(&self) -> &[(Digest, Vec<Range<u64>>)] {
        &self.layers
    }

    fn add(&mut self, digest: Digest, ranges: Vec<Range<u64>>) {
        let known = self.layers.iter().position(|(of, _)| *of == digest);
        let at = known.unwrap_or(self.layers.len());
        if at == self.layers.len() {
            if at == LAYERS || ranges.is_empty() {
                return;
            }
            self.layers.push((digest, Vec::new()));
        }
        let all = &mut self.layers[at].1;
        all.extend(ranges);
        all.sort_by_key(|range| range.start);
        *all = joined(all, 0);
    }

    fn count(&self) -> usize {
        self.layers.iter().map(|(_, ranges)| ranges.len()).sum()
    }

    /// The same with so few ranges as a list may have: those that lie nearest to each other become one.
    fn bounded(mut self) -> Self {
        let mut gap = 1 << 14;
        while self.count() > RANGES {
            self.layers.iter_mut().for_each(|(_, ranges)| *ranges = joined(ranges, gap));
            gap *= 2;
        }
        self
    }
}

impl TryFrom<Json> for ReadList {
    type Error = String;

    fn try_from(json: Json) -> Result<Self, String> {
        if json.version != VERSION {
            return Err(format!("version {} is not known", json.version));
        }
        let mut list = Self::default();
        for JsonLayer { digest, ranges } in json.layers.into_iter().take(LAYERS) {
            let Ok(digest) = digest.parse() else { continue };
            let ranges = ranges.into_iter().map(|[start, end]| start..end);
            list.add(digest, ranges.filter(|range| range.start < range.end).collect());
        }
        Ok(list.bounded())
    }
}

impl From<ReadList> for Json {
    fn from(list: ReadList) -> Self {
        let layers = list.layers.into_iter().map(|(digest, ranges)| JsonLayer {
            digest: digest.to_string(),
            ranges: ranges.into_iter().map(|range| [range.start, range.end]).collect(),
        });
        Self { version: VERSION, layers: layers.collect() }
    }
}

/// Sorted ranges as fewer: those that are at most `gap` bytes apart are one.
pub(super) fn joined(ranges: &[Range<u64>], gap: u64) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => joined.push(range.clone()),
        }
    }
    joined
}

/// Takes note of what is read to be decoded, in as much memory as two lists take at most.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<ReadList>);

impl Recorder {
    /// What was noted so far.
    pub fn list(&self) -> ReadList {
        self.noted().clone().bounded()
    }

    fn noted(&self) -> MutexGuard<'_, ReadList> {
        // At worst a range is missing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note for Recorder {
    fn note(&self, digest: Digest, range: Range<u64>) {
        let noted = &mut *self.noted();
        if range.start < range.end {
            noted.add(digest, vec![range]);
        }
        if noted.count() > 2 * RANGES {
            *noted = std::mem::take(noted).bounded();
        }
    }

    /// A pass reads all of it, once.
    fn note_pass(&self, _: Digest, _: Range<u64>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(range: Range<u64>) -> Vec<Range<u64>> {
        std::iter::once(range).collect()
    }

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    #[test]
    fn what_was_noted_reads_back_in_the_order_of_first_use() {
        let recorder = Recorder::default();
        for (name, range) in [("b", 50..60), ("a", 0..10), ("b", 10..20), ("b", 20..30), ("b", 55..70), ("c", 5..5)] {
            recorder.note(digest(name), range);
        }
        let list = recorder.list();
        let (a, b) = (digest("a"), digest("b"));
        let text = format!(
            "{{\"version\":1,\"layers\":[{{\"digest\":\"{b}\",\"ranges\":[[10,30],[50,70]]}},\
             {{\"digest\":\"{a}\",\"ranges\":[[0,10]]}}]}}\n"
        );
        assert_eq!(String::from_utf8(list.to_bytes()).unwrap(), text);
        assert_eq!(ReadList::parse(text.as_bytes()), Ok(list.clone()));
        let mut both = list.of_layers(&[a]);
        both.append(list.of_layers(&[b, digest("c")]));
        assert_eq!(both.layers(), [(a, one(0..10)), (b, vec![10..30, 50..70])]);
    }

    #[test]
    fn what_is_wrong_in_a_list_is_passed_over_and_a_long_one_becomes_short() {
        let a = digest("a");
        let text = format!(
            r#"{{"version":1,"layers":[{{"digest":"md5:0","ranges":[[0,1]]}},{{"digest":"{a}","ranges":[[9,3],[5,7],[7,7],
            [6,{max}]]}},{{"digest":"{a}","ranges":[[0,1]]}}]}}"#,
            max = u64::MAX
        );
        assert_eq!(ReadList::parse(text.as_bytes()).unwrap().layers(), [(a, vec![0..1, 5..u64::MAX])]);
        for text in
            ["", "{}", r#"{"version":2,"layers":[]}"#, r#"{"version":1,"layers":[{"digest":"a","ranges":[[-1,2]]}]}"#]
        {
            assert!(ReadList::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(ReadList::parse(&vec![b' '; (1 << 20) + 1]).unwrap_err(), "it has over 1 MiB");
        let recorder = Recorder::default();
        let many: Vec<Range<u64>> = (0..RANGES as u64 + 1).map(|at| at << 20..(at << 20) + 1).collect();
        recorder.noted().add(a, many);
        let list = recorder.list();
        assert_eq!(list.layers(), [(a, one(0..((RANGES as u64) << 20) + 1))]);
        assert!(list.to_bytes().len() as u64 <= ReadList::LARGEST);
    }
}
