//! Recognises sequential readers, several at once, by where their reads meet.

use std::ops::Range;

/// Most readers that are told apart at a time. Each read looks through all of them, which takes far less than the read.
const STREAMS: usize = 64;
/// A read may start this many bytes before or behind the end of the one before: small files lie between tar headers, and
/// a kernel that reads ahead asks for several ranges at once.
const SLACK: u64 = 1 << 20;
/// Bytes that must have been read in order before anything is done ahead. Most files are shorter, so reading one
/// makes nothing but its own bytes.
const TRUST: u64 = 2 << 20;
/// Reads by anybody after which a reader that has asked for nothing no longer counts as one of several.
const RECENT: u64 = 64;
/// Bytes that a reader must have read for each that it passed over, where work ahead is done with care.
const CARE: u64 = 8;

/// The readers of many things, each of which has a number.
pub struct Streams {
    ahead: u64,
    together: u64,
    /// Bytes that must have been read for each that was passed over.
    care: u64,
    streams: Vec<Stream>,
    clock: u64,
}

struct Stream {
    of: u64,
    /// Where the next read is expected.
    next: u64,
    /// Bytes read so far.
    read: u64,
    /// Bytes passed over so far.
    skipped: u64,
    /// How far work ahead was asked for.
    asked: u64,
    time: u64,
}

impl Stream {
    /// Takes note of a read that follows; the bytes between `given` and it are passed over.
    fn take(&mut self, read: &Range<u64>, given: u64) {
        let late = self.next.min(read.end).saturating_sub(read.start);
        self.skipped = self.skipped.saturating_sub(late) + read.start.saturating_sub(given);
        self.read += read.end - read.start;
        self.next = self.next.max(read.end);
    }

    /// Whether it has read enough, and not jumped about.
    const fn is_trusted(&self, care: u64) -> bool {
        self.read >= TRUST && self.read >= self.skipped.saturating_mul(care)
    }
}

impl Streams {
    /// For work that is done `ahead` bytes before it is needed, `together` bytes at most for all readers of the moment.
    pub const fn new(ahead: u64, together: u64) -> Self {
        Self { ahead, together, care: 1, streams: Vec::new(), clock: 0 }
    }

    /// The same where work ahead that nobody needs costs much: a reader that leaves out some of what was made ready for it
    /// gets nothing made ready.
    pub fn careful(ahead: u64, together: u64) -> Self {
        Self { care: CARE, ..Self::new(ahead, together) }
    }

    /// Takes note of a read of a thing; returns the bytes that are now worth work ahead, if there are any.
    pub fn note(&mut self, of: u64, read: &Range<u64>) -> Option<Range<u64>> {
        self.clock += 1;
        let follows = |s: &Stream| {
            let soonest = s.next.saturating_sub(SLACK);
            let latest = s.next.max(s.asked).saturating_add(SLACK);
            s.of == of && (soonest..=latest).contains(&read.start)
        };
        let Some(at) = self.streams.iter().position(follows) else {
            self.remember(of, read);
            return None;
        };
        let stream = &mut self.streams[at];
        stream.time = self.clock;
        let given = if self.care > 1 { stream.next } else { stream.next.max(stream.asked) };
        stream.take(read, given);
        if !stream.is_trusted(self.care) {
            return None;
        }
        let share = self.share();
        let stream = &mut self.streams[at];
        let ahead = stream.asked.max(stream.next)..stream.next.saturating_add(share);
        stream.asked = stream.asked.max(ahead.end);
        (!ahead.is_empty()).then_some(ahead)
    }

    /// Bytes ahead for each of the readers of the moment.
    fn share(&self) -> u64 {
        let readers = self.streams.iter().filter(|s| s.is_trusted(self.care) && self.clock - s.time < RECENT).count();
        self.ahead.min(self.together / readers.max(1) as u64)
    }

    fn remember(&mut self, of: u64, read: &Range<u64>) {
        let len = read.end - read.start;
        let stream = Stream { of, next: read.end, read: len, skipped: 0, asked: 0, time: self.clock };
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
        let mut streams = Streams::new(3 * MIB, 6 * MIB);
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
    fn many_readers_share_what_is_done_ahead() {
        let mut streams = Streams::new(4 * MIB, 8 * MIB);
        let mut read = |of, at| streams.note(of, &(at * MIB..(at + 1) * MIB));
        (0..4).for_each(|of| assert_eq!(read(of, 0), None));
        let ends: Vec<_> = (0..4).map(|of| read(of, 1).unwrap().end / MIB - 2).collect();
        assert_eq!(ends, [4, 4, 2, 2]);
        // Three fall silent.
        for at in 2..100 {
            let _ = read(0, at);
        }
        assert_eq!(read(0, 100), Some(104 * MIB..105 * MIB));
    }

    #[test]
    fn a_reader_who_was_given_what_follows_goes_on_behind_it() {
        let mut streams = Streams::new(3 * MIB, 3 * MIB);
        assert_eq!(streams.note(1, &(0..2 * MIB)), None);
        assert_eq!(streams.note(1, &(2 * MIB..3 * MIB)), Some(3 * MIB..6 * MIB));
        assert_eq!(streams.note(1, &(6 * MIB..7 * MIB)), Some(7 * MIB..10 * MIB));
    }

    #[test]
    fn a_reader_page_by_page_makes_no_work_ahead_where_that_is_done_with_care() {
        // Reads of 128 KiB with as much between two of them, as a kernel reads a program; then all in order.
        for (mut streams, is_careful) in [(Streams::new(MIB, 2 * MIB), false), (Streams::careful(MIB, 2 * MIB), true)] {
            let jumps: Vec<_> = (0..40).map(|at| streams.note(1, &(at * MIB / 4..at * MIB / 4 + MIB / 8))).collect();
            assert_eq!(jumps.iter().all(Option::is_none), is_careful);
            let in_order: Vec<_> = (0..4).map(|at| streams.note(2, &(at * MIB..(at + 1) * MIB))).collect();
            assert_eq!(in_order[1..3], [Some(2 * MIB..3 * MIB), Some(3 * MIB..4 * MIB)]);
        }
    }

    #[test]
    fn random_readers_are_not_however_small_the_thing() {
        for size in [60 * MIB, 1 << 40] {
            let mut streams = Streams::new(3 * MIB, 3 * MIB);
            let mut at = 1_u64;
            for number in 0..5000 {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let start = (at >> 8) % size;
                assert_eq!(streams.note(7, &(start..start + 4096)), None, "read {number} of {size} bytes");
            }
        }
    }
}
