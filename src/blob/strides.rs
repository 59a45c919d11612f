//! How much is fetched at a time: the more, the longer somebody reads on where the last fetch ended.

use std::ops::Range;

/// Readers in order that are told apart.
const MOST: usize = 16;
/// Ranges of grains that are remembered because they were fetched ahead and nobody has read them. One more makes the oldest
/// forgotten.
const MOST_AHEAD: usize = 64;
/// Each unread grain before a fetch takes as many grains as this from what is fetched ahead: a reader that leaves out a
/// quarter does not read in order (a program is read page by page). It is not one, since other threads may be about to read it.
const UNREAD: u64 = 4;

/// What was fetched in order, each as one range of grains, and what of it was fetched ahead and is not read yet; the newest
/// last.
#[derive(Debug, Default)]
pub(super) struct Strides {
    fetched: Vec<Range<u64>>,
    ahead: Vec<Range<u64>>,
}

impl Strides {
    /// Where a fetch of these grains should end: as much is fetched as was fetched in order so far, if that was read; so that
    /// of all that is fetched half was asked for at least.
    pub fn end_of(&self, wanted: &Range<u64>, most: u64) -> u64 {
        let before = self.fetched.iter().find(|range| range.end == wanted.start).map_or(0, |range| {
            let unread: u64 = self.ahead.iter().map(|ahead| common(ahead, range)).sum();
            (range.end - range.start).saturating_sub(unread.saturating_mul(UNREAD))
        });
        wanted.end.max(wanted.start + before.min(most))
    }

    /// Takes note of a fetch, which goes on to `end` behind what is wanted. Several threads of one reader may fetch out of
    /// order.
    pub fn note(&mut self, wanted: &Range<u64>, end: u64) {
        let mut whole = wanted.start..end;
        self.fetched.retain(|range| {
            let joins = range.end == whole.start || range.start == whole.end;
            if joins {
                whole = whole.start.min(range.start)..whole.end.max(range.end);
            }
            !joins
        });
        self.fetched.push(whole);
        if self.fetched.len() > MOST {
            self.fetched.remove(0);
        }
        self.keep_ahead(wanted.end..end);
    }

    /// Takes note of grains that somebody reads.
    pub fn read(&mut self, grains: &Range<u64>) {
        let Some(at) = self.ahead.iter().position(|ahead| common(ahead, grains) > 0) else { return };
        let ahead = self.ahead.remove(at);
        self.keep_ahead(ahead.start..grains.start);
        self.keep_ahead(grains.end..ahead.end);
        self.read(grains);
    }

    fn keep_ahead(&mut self, grains: Range<u64>) {
        if !grains.is_empty() {
            self.ahead.push(grains);
        }
        if self.ahead.len() > MOST_AHEAD {
            self.ahead.remove(0);
        }
    }
}

/// How many grains both have.
fn common(one: &Range<u64>, other: &Range<u64>) -> u64 {
    one.end.min(other.end).saturating_sub(one.start.max(other.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many grains are fetched for a reader that wants nine at a time, in order, and that reads what was fetched ahead or
    /// passes over it.
    fn fetched(strides: &mut Strides, reads: bool) -> Vec<u64> {
        let (mut lens, mut at) = (Vec::new(), 100);
        for _ in 0..7 {
            let wanted = at..at + 9;
            let end = strides.end_of(&wanted, 100);
            strides.note(&wanted, end);
            if reads {
                strides.read(&(at..end));
            }
            lens.push(end - at);
            at = end;
        }
        lens
    }

    #[test]
    fn who_reads_on_gets_as_much_again_up_to_a_bound() {
        let mut strides = Strides::default();
        assert_eq!(fetched(&mut strides, true), [9, 9, 18, 36, 72, 100, 100]);
        let Range { end, .. } = strides.fetched[0];
        assert_eq!(strides.end_of(&(end + 1..end + 2), 100), end + 2, "a reader that jumps");
    }

    #[test]
    fn who_passes_over_what_was_fetched_ahead_gets_little_more_than_is_wanted() {
        let mut strides = Strides::default();
        // 36 grains, of which 9 are not read; from then on no more than is wanted, until those before are many.
        assert_eq!(fetched(&mut strides, false), [9, 9, 18, 9, 9, 18, 9]);
        strides.read(&(118..136));
        strides.read(&(154..163));
        assert_eq!((strides.ahead.len(), strides.ahead.first()), (1, Some(&(163..172))));
    }

    #[test]
    fn what_is_read_of_what_was_fetched_ahead_is_told_piece_by_piece() {
        let mut strides = Strides::default();
        strides.note(&(0..1), 100);
        [(10..20), (15..30), (99..300), (0..2)].iter().for_each(|grains| strides.read(grains));
        let mut left = strides.ahead.clone();
        left.sort_by_key(|range| range.start);
        assert_eq!(left, [2..10, 30..99]);
        (0..100).for_each(|at| strides.note(&(1000 + 10 * at..1001 + 10 * at), 1005 + 10 * at));
        assert_eq!(strides.ahead.len(), MOST_AHEAD);
    }

    #[test]
    fn fetches_out_of_order_count_as_one_reader() {
        let mut strides = Strides::default();
        [(0..9), (18..27), (9..18)].iter().for_each(|fetched| strides.note(fetched, fetched.end));
        assert_eq!(strides.end_of(&(27..36), 100), 54);
        (0..MOST as u64).map(|number| 1000 * (number + 1)).for_each(|at| strides.note(&(at..at + 1), at + 1));
        assert_eq!(strides.end_of(&(27..36), 100), 36, "the oldest are forgotten");
    }
}
