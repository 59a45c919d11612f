//! How much is fetched at a time: the more, the longer somebody reads on where the last fetch ended.

use std::ops::Range;

/// Readers in order that are told apart.
const MOST: usize = 16;

/// What was fetched in order, each as one range of grains; the newest last.
#[derive(Debug, Default)]
pub(super) struct Strides(Vec<Range<u64>>);

impl Strides {
    /// Where a fetch of these grains should end: as much is fetched as the reader has fetched in order so far, so that of all
    /// that is fetched half was asked for at least.
    pub fn end_of(&self, wanted: &Range<u64>, most: u64) -> u64 {
        let before = self.0.iter().find(|range| range.end == wanted.start).map_or(0, |range| range.end - range.start);
        wanted.end.max(wanted.start + before.min(most))
    }

    /// Takes note of a fetch. Several threads of one reader may fetch out of order.
    pub fn note(&mut self, fetched: &Range<u64>) {
        let mut whole = fetched.clone();
        self.0.retain(|range| {
            let joins = range.end == whole.start || range.start == whole.end;
            if joins {
                whole = whole.start.min(range.start)..whole.end.max(range.end);
            }
            !joins
        });
        self.0.push(whole);
        if self.0.len() > MOST {
            self.0.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_on_gets_as_much_again_up_to_a_bound() {
        let (mut strides, mut lens, mut at) = (Strides::default(), Vec::new(), 100);
        for _ in 0..7 {
            let end = strides.end_of(&(at..at + 9), 100);
            strides.note(&(at..end));
            lens.push(end - at);
            at = end;
        }
        assert_eq!(lens, [9, 9, 18, 36, 72, 100, 100]);
        assert_eq!(strides.end_of(&(at + 1..at + 2), 100), at + 2, "a reader that jumps");
    }

    #[test]
    fn fetches_out_of_order_count_as_one_reader() {
        let mut strides = Strides::default();
        [(0..9), (18..27), (9..18)].iter().for_each(|fetched| strides.note(fetched));
        assert_eq!(strides.end_of(&(27..36), 100), 54);
        (0..MOST as u64).for_each(|number| strides.note(&(1000 * (number + 1)..1000 * (number + 1) + 1)));
        assert_eq!(strides.end_of(&(27..36), 100), 36, "the oldest are forgotten");
    }
}
