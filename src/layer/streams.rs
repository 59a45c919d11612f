//! Recognises sequential readers, several at once, by where their reads meet.

use std::ops::Range;

/// Readers remembered.
const STREAMS: usize = 16;
/// A read may start so many bytes before or behind the end of the one before: small files lie between tar headers, and
/// a kernel that reads ahead asks for several ranges at once.
const SLACK: u64 = 1 << 20;
/// Bytes that must have been read in order before anything is decoded ahead. Most files are shorter, so reading one
/// decodes only its own spans.
const TRUST: u64 = 2 << 20;
/// Bytes decoded ahead: three spans of the usual size.
const AHEAD: u64 = 3 << 20;

/// The readers.
#[derive(Default)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    clock: u64,
}

struct Stream {
    layer: u64,
    /// Where the next read is expected.
    next: u64,
    /// Bytes read so far.
    read: u64,
    /// How far decoding ahead was asked for.
    asked: u64,
    time: u64,
}

impl Streams {
    /// Takes note of a read; returns the bytes that are worth decoding ahead, if there are any.
    pub(super) fn note(&mut self, layer: u64, read: &Range<u64>) -> Option<Range<u64>> {
        self.clock += 1;
        let follows = |s: &&mut Stream| {
            s.layer == layer && read.start <= s.next.saturating_add(SLACK) && s.next <= read.start.saturating_add(SLACK)
        };
        let Some(stream) = self.streams.iter_mut().find(follows) else {
            self.remember(layer, read);
            return None;
        };
        stream.time = self.clock;
        stream.read += read.end - read.start;
        stream.next = stream.next.max(read.end);
        let ahead = stream.asked.max(stream.next)..stream.next.saturating_add(AHEAD);
        if stream.read < TRUST || ahead.is_empty() {
            return None;
        }
        stream.asked = ahead.end;
        Some(ahead)
    }

    fn remember(&mut self, layer: u64, read: &Range<u64>) {
        let stream = Stream { layer, next: read.end, read: read.end - read.start, asked: 0, time: self.clock };
        if self.streams.len() < STREAMS {
            return self.streams.push(stream);
        }
        let oldest = self.streams.iter_mut().min_by_key(|stream| stream.time);
        *oldest.expect("there are as many streams as there may be") = stream;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn readers_in_order_are_recognised_side_by_side() {
        let mut streams = Streams::default();
        for at in 0..4 {
            for base in [0, 100 * MIB] {
                let ahead = streams.note(7, &(base + at * MIB..base + (at + 1) * MIB));
                let end = base + (at + 1) * MIB;
                let expected = match at {
                    0 => None,
                    1 => Some(end..end + 3 * MIB),
                    _ => Some(end + 2 * MIB..end + 3 * MIB),
                };
                assert_eq!(ahead, expected);
            }
        }
    }

    #[test]
    fn random_readers_are_not() {
        let mut streams = Streams::default();
        let mut at = 1_u64;
        for _ in 0..10_000 {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let start = at % (1 << 40);
            assert_eq!(streams.note(7, &(start..start + 4096)), None);
        }
    }
}
