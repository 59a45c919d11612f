//! Which ranges of an export are holes.

use std::ops::Range;

use crate::extent::Source;

/// Shorter holes are reported as data, in bytes: a client would spend more on them than on the zeros.
const SHORTEST: u64 = 4096;
/// Runs that are looked at for one answer, at most: each takes a part of a layout.
const STEPS: usize = 1024;
/// Among short runs the next one is looked for ever farther on, so that an archive of many small files is passed over soon.
/// Bytes that it is at most; a longer hole is always found, if not from its start.
const FARTHEST: u64 = 1 << 20;

/// A range that is a hole, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) range: Range<u64>,
    pub(super) is_hole: bool,
}

/// Walks through a range of a source, which lies in it.
pub(super) struct Runs<'a> {
    source: &'a dyn Source,
    /// What is left.
    range: Range<u64>,
    steps: usize,
    /// How far behind the last run the next one is looked for, in bytes.
    stride: u64,
    /// The hole behind the run that was given last.
    hole: Option<u64>,
}

impl<'a> Runs<'a> {
    pub(super) fn of(source: &'a dyn Source, range: Range<u64>) -> Self {
        Self { source, range, steps: STEPS, stride: 1, hole: None }
    }

    /// The end of the hole that begins at `at`, if one does.
    fn hole_at(&mut self, at: u64) -> (u64, Option<Range<u64>>) {
        self.steps = self.steps.saturating_sub(1);
        let data = self.source.data_from(at).filter(|data| data.start < self.range.end);
        (data.as_ref().map_or(self.range.end, |data| data.start.max(at)), data)
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    /// The next run. What takes too many steps to look at is reported as data.
    fn next(&mut self) -> Option<Run> {
        let Range { start, end } = self.range;
        if start >= end {
            return None;
        }
        if let Some(hole) = self.hole.take() {
            (self.range.start, self.stride) = (hole, 1);
            return Some(Run { range: start..hole, is_hole: true });
        }
        let mut at = start;
        while at < end && self.steps > 0 {
            let (hole_end, data) = self.hole_at(at);
            let is_long = hole_end - at >= SHORTEST || at == start && hole_end == end;
            match (is_long, at == start) {
                (true, true) => {
                    self.range.start = hole_end;
                    return Some(Run { range: start..hole_end, is_hole: true });
                }
                (true, false) => {
                    self.hole = Some(hole_end);
                    break;
                }
                (false, _) => {
                    at = data.map_or(end, |data| data.end).max(at.saturating_add(self.stride)).min(end);
                    self.stride = (self.stride * 2).min(FARTHEST);
                }
            }
        }
        let at = if self.hole.is_none() { end } else { at };
        self.range.start = at;
        Some(Run { range: start..at, is_hole: false })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::{Bytes, MapBuilder, SharedSource, Sink as _};

    fn sample() -> SharedSource {
        let mut map = MapBuilder::default();
        map.bytes(&[1; 100]);
        map.zeros(50);
        map.bytes(&[2; 100]);
        map.zeros(10_000);
        map.bytes(&[3; 10]);
        map.zeros(5_000);
        map.share()
    }

    fn runs(source: &SharedSource, range: Range<u64>) -> Vec<(Range<u64>, bool)> {
        Runs::of(&**source, range).map(|run| (run.range, run.is_hole)).collect()
    }

    #[test]
    fn long_holes_are_told_and_short_ones_are_data() {
        let all = [(0..250, false), (250..10_250, true), (10_250..10_260, false), (10_260..15_260, true)];
        assert_eq!(runs(&sample(), 0..15_260), all);
        assert_eq!(runs(&sample(), 300..400), [(300..400, true)]);
        assert_eq!(runs(&sample(), 120..9_000), [(120..250, false), (250..9_000, true)]);
        assert_eq!(runs(&sample(), 10_255..10_300), [(10_255..10_300, false)]);
        assert_eq!(runs(&sample(), 7..7), []);
        let data: SharedSource = Arc::new(Bytes([0; 9000].into()));
        assert_eq!(runs(&data, 0..9000), [(0..9000, false)]);
    }

    #[test]
    fn many_short_runs_are_passed_over_in_few_steps() {
        let mut map = MapBuilder::default();
        for _ in 0..1_000_000 {
            map.bytes(&[1, 2, 3, 4]);
            map.zeros(1);
        }
        map.zeros(2 * FARTHEST);
        let source = map.share();
        let mut runs = Runs::of(&*source, 0..source.size());
        let (data, hole) = (runs.next().unwrap(), runs.next().unwrap());
        assert!(!data.is_hole && hole.is_hole && runs.next().is_none());
        assert!((5_000_000 - 1..5_000_000 + FARTHEST).contains(&hole.range.start) && hole.range.end == source.size());
        assert!(STEPS - runs.steps < 40, "{} steps are left", runs.steps);
    }

    #[test]
    fn what_takes_too_many_steps_is_data() {
        let mut map = MapBuilder::default();
        for _ in 0..STEPS {
            map.bytes(&[1]);
            map.zeros(SHORTEST);
        }
        let source = map.share();
        let runs = runs(&source, 0..source.size());
        assert!(runs[..STEPS].iter().all(|(range, is_hole)| *is_hole == (range.end - range.start == SHORTEST)));
        let (last, is_hole) = runs.last().unwrap();
        assert!(!is_hole && last.end == source.size() && last.end - last.start > SHORTEST, "{last:?}");
    }
}
