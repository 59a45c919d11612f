//! Which units of a disk may hold anything but zeros: what a disk container maps, found without reading content.
//!
//! # Invariants
//! Runs are sorted, not empty and do not touch, so memory grows with the holes of a disk and not with its content.

use std::ops::Range;

use crate::extent::{SharedSource, Sink, Source};

/// The used units (clusters, blocks, grains) of a disk, numbered twice: by place on the disk and by rank among the used.
#[derive(Clone)]
pub(super) struct Used {
    unit: u64,
    runs: Vec<UsedRange>,
}

/// Used units in a row.
#[derive(Clone)]
struct UsedRange {
    units: Range<u64>,
    /// Rank of the first.
    rank: u64,
}

impl Used {
    /// Looks at where `disk` has data; `unit` is a unit's size in bytes.
    pub(super) fn of(disk: &dyn Source, unit: u64) -> Self {
        let mut used = Self { unit, runs: Vec::new() };
        let mut offset = 0;
        while let Some(data) = disk.data_from(offset) {
            let units = data.start.max(offset) / unit..data.end.div_ceil(unit).max(offset / unit + 1);
            offset = units.end * unit;
            used.push(units);
        }
        used
    }

    fn push(&mut self, units: Range<u64>) {
        let rank = self.count();
        match self.runs.last_mut() {
            Some(last) if last.units.end >= units.start => last.units.end = units.end,
            _ => self.runs.push(UsedRange { units, rank }),
        }
    }

    /// Number of used units.
    pub(super) fn count(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.rank + (run.units.end - run.units.start))
    }

    /// The rank of `unit`, if it is used.
    pub(super) fn rank(&self, unit: u64) -> Option<u64> {
        let run = &self.runs[self.runs.partition_point(|run| run.units.start <= unit).checked_sub(1)?];
        run.units.contains(&unit).then(|| run.rank + (unit - run.units.start))
    }

    /// The number of used units below `unit`.
    pub(super) fn below(&self, unit: u64) -> u64 {
        let Some(last) = self.runs.partition_point(|run| run.units.start < unit).checked_sub(1) else { return 0 };
        let run = &self.runs[last];
        run.rank + (unit.min(run.units.end) - run.units.start)
    }

    /// The unit of `rank`.
    pub(super) fn nth(&self, rank: u64) -> Option<u64> {
        let run = &self.runs[self.runs.partition_point(|run| run.rank <= rank).checked_sub(1)?];
        Some(run.units.start + (rank - run.rank)).filter(|unit| *unit < run.units.end)
    }

    /// The ranges of a disk of `size` bytes that lie in no used unit, in bytes.
    pub(super) fn holes(&self, size: u64) -> impl Iterator<Item = Range<u64>> {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|run| run.units.end * self.unit));
        let ends = self.runs.iter().map(|run| run.units.start * self.unit).chain(std::iter::once(size));
        starts.zip(ends).map(|(start, end)| start..end).filter(|hole| hole.start < hole.end)
    }

    /// Lays out all used units of `disk` in a row.
    pub(super) fn emit(&self, disk: &SharedSource, sink: &mut dyn Sink) {
        self.runs.iter().for_each(|run| self.emit_units(run.units.clone(), disk, sink));
    }

    /// Lays out the content of `units`.
    pub(super) fn emit_units(&self, units: Range<u64>, disk: &SharedSource, sink: &mut dyn Sink) {
        emit_range(units.start * self.unit..units.end * self.unit, disk, sink);
    }
}

/// Lays out the bytes of `range` of `disk`, with zeros where it goes past the end.
pub(super) fn emit_range(range: Range<u64>, disk: &SharedSource, sink: &mut dyn Sink) {
    let stop = range.end.min(disk.size()).max(range.start);
    sink.extent(disk, range.start, stop - range.start);
    sink.zeros(range.end - stop);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::{Bytes, MapBuilder};

    /// Used units of 10 bytes: 1, 2, 5.
    fn sample() -> SharedSource {
        let bytes: SharedSource = std::sync::Arc::new(Bytes(vec![1; 20].into()));
        let mut disk = MapBuilder::default();
        disk.zeros(19);
        disk.extent(&bytes, 0, 3);
        disk.zeros(30);
        disk.extent(&bytes, 4, 2);
        disk.zeros(1);
        disk.share()
    }

    #[test]
    fn units_are_numbered_by_place_and_by_rank() {
        let used = Used::of(&*sample(), 10);
        assert_eq!(used.count(), 3);
        assert_eq!(
            (0..7).map(|unit| used.rank(unit)).collect::<Vec<_>>(),
            [None, Some(0), Some(1), None, None, Some(2), None]
        );
        assert_eq!((0..4).map(|rank| used.nth(rank)).collect::<Vec<_>>(), [Some(1), Some(2), Some(5), None]);
        assert_eq!((0..7).map(|unit| used.below(unit)).collect::<Vec<_>>(), [0, 0, 1, 2, 2, 2, 3]);
        assert_eq!(used.holes(64).collect::<Vec<_>>(), [0..10, 30..50, 60..64]);
        assert_eq!(used.holes(60).count(), 2);
    }

    #[test]
    fn an_empty_disk_uses_nothing() {
        let used = Used::of(&crate::extent::Zeros(100), 10);
        assert_eq!((used.count(), used.rank(0), used.nth(0), used.below(9)), (0, None, None, 0));
    }

    #[test]
    fn used_units_are_laid_out_in_a_row() {
        let mut map = MapBuilder::default();
        let disk = sample();
        Used::of(&*disk, 10).emit(&disk, &mut map);
        let map = map.finish();
        let mut bytes = [9; 30];
        map.read_at(&mut bytes, 0).unwrap();
        assert_eq!(map.size(), 30);
        assert_eq!(bytes[8..13], [0, 1, 1, 1, 0]);
        assert_eq!(bytes[21..26], [0, 1, 1, 0, 0]);
    }
}
