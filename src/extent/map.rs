//! The extent map: a sorted list of runs, each naming where its bytes come from.
//!
//! # Invariants
//! Runs are not empty, touch each other and cover the map from 0 to its size; neighbours that continue each other are one.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::slice::check_range;
use super::{Origin, Piece, ReadError, SharedSource, Sink, Source, Traced, Visit, trace_as};
use crate::base::in_memory;

/// Runs that are added up to tell how much of a map is data. Maps of more are rare, and a `stat` is to be quick.
const MOST_COUNTED: usize = 4096;

/// Where a run's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The map's own bytes at this offset of its arena.
    Inline(u64),
    /// Zeros.
    Zeros,
    /// A source by its number in the map, at an offset in bytes.
    Source(u32, u64),
}

/// A way to read a source: all of it, or what is there at once.
trait ReadBy<E>: Fn(&dyn Source, &mut [u8], u64) -> Result<(), E> {}

impl<E, F: Fn(&dyn Source, &mut [u8], u64) -> Result<(), E>> ReadBy<E> for F {}

/// An artifact as a list of runs.
#[derive(Default)]
pub struct ExtentMap {
    /// Offset of each run; one more for the end.
    starts: Vec<u64>,
    extents: Vec<Extent>,
    arena: Vec<u8>,
    sources: Vec<SharedSource>,
    base: u64,
}

impl ExtentMap {
    /// The runs in order: range within the map, and origin.
    pub fn runs(&self) -> impl Iterator<Item = (Range<u64>, Extent)> + '_ {
        self.starts.windows(2).zip(&self.extents).map(|(w, e)| (w[0]..w[1], *e))
    }

    /// Bytes the map itself holds in memory.
    pub fn inline_size(&self) -> u64 {
        self.arena.len() as u64
    }

    /// Number of the run that holds `offset`, which is below the end.
    fn run_at(&self, offset: u64) -> usize {
        self.starts.partition_point(|start| *start <= offset) - 1
    }

    fn end(&self) -> u64 {
        self.starts.last().copied().unwrap_or(self.base)
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), ReadError> {
        check_range(offset, len, self.size())?;
        let is_here = offset >= self.base;
        if is_here { Ok(()) } else { Err(ReadError::out_of_range(offset, len as u64, self.size())) }
    }

    /// Reads run by run from `at` on. What is not the map's own is read by `read`.
    fn read_runs<E>(&self, mut buf: &mut [u8], mut at: u64, read: &impl ReadBy<E>) -> Result<(), E> {
        while !buf.is_empty() {
            let run = self.run_at(at);
            let left = self.starts[run + 1] - at;
            let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
            let (head, rest) = buf.split_at_mut(len);
            self.read_run(run, head, at - self.starts[run], read)?;
            at += len as u64;
            buf = rest;
        }
        Ok(())
    }

    fn read_run<E>(&self, run: usize, buf: &mut [u8], skip: u64, read: &impl ReadBy<E>) -> Result<(), E> {
        match self.extents[run] {
            Extent::Zeros => buf.fill(0),
            Extent::Inline(at) => {
                let start = in_memory(at + skip);
                buf.copy_from_slice(&self.arena[start..start + buf.len()]);
            }
            Extent::Source(number, at) => read(&*self.sources[number as usize], buf, at + skip)?,
        }
        Ok(())
    }

    /// Traces a part of one run.
    fn trace_run(&self, run: usize, part: &Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let (skip, len) = (part.start - self.starts[run], part.end - part.start);
        match self.extents[run] {
            Extent::Zeros => trace_as(Origin::Zeros, part, visit),
            Extent::Inline(at) => {
                let bytes = &self.arena[in_memory(at + skip)..in_memory(at + skip + len)];
                Ok(visit(Piece::generated(bytes)))
            }
            Extent::Source(number, at) => self.sources[number as usize].trace(at + skip..at + skip + len, visit),
        }
    }
}

impl Source for ExtentMap {
    fn size(&self) -> u64 {
        self.end()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.check(offset, buf.len())?;
        self.read_runs(buf, offset, &|source: &dyn Source, buf: &mut [u8], at| source.read_at(buf, at))
    }

    fn read_at_once(&self, buf: &mut [u8], offset: u64) -> bool {
        let read = |source: &dyn Source, buf: &mut [u8], at| source.read_at_once(buf, at).then_some(()).ok_or(());
        self.check(offset, buf.len()).is_ok() && self.read_runs(buf, offset, &read).is_ok()
    }

    fn data_from(&self, offset: u64) -> Option<Range<u64>> {
        if offset >= self.size() {
            return None;
        }
        let first = self.run_at(offset.max(self.base));
        self.starts[first..].windows(2).zip(&self.extents[first..]).find_map(|(w, extent)| {
            let start = w[0].max(offset);
            match extent {
                Extent::Zeros => None,
                Extent::Inline(_) => Some(start..w[1]),
                Extent::Source(number, at) => {
                    let shift = |run: u64| (run - at) + w[0];
                    let run = self.sources[*number as usize].data_from(start - w[0] + at)?;
                    let run = shift(run.start)..shift(run.end).min(w[1]);
                    (run.start < run.end).then_some(run)
                }
            }
        })
    }

    fn data_len(&self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let runs = self.run_at(range.start.max(self.base))..self.run_at(range.end - 1) + 1;
        if runs.len() > MOST_COUNTED {
            return range.end - range.start;
        }
        let data = runs.map(|run| {
            let start = self.starts[run];
            let (from, to) = (range.start.max(start) - start, range.end.min(self.starts[run + 1]) - start);
            match self.extents[run] {
                Extent::Zeros => 0,
                Extent::Inline(_) => to - from,
                Extent::Source(number, at) => self.sources[number as usize].data_len(at + from..at + to),
            }
        });
        data.sum()
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let mut at = range.start;
        while at < range.end {
            let run = self.run_at(at);
            let end = self.starts[run + 1].min(range.end);
            if self.trace_run(run, &(at..end), visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            at = end;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Builds an extent map run by run.
#[derive(Default)]
pub struct MapBuilder {
    map: ExtentMap,
}

impl MapBuilder {
    /// A map whose first byte has offset `base`: the part of a larger artifact.
    pub(super) fn at(base: u64) -> Self {
        Self { map: ExtentMap { base, ..ExtentMap::default() } }
    }

    /// The finished map.
    pub fn finish(self) -> ExtentMap {
        self.map
    }

    /// The finished map as a shared source.
    pub fn share(self) -> SharedSource {
        Arc::new(self.finish())
    }

    fn push(&mut self, extent: Extent, len: u64) {
        let position = self.map.end();
        let map = &mut self.map;
        if len == 0 {
            return;
        }
        if map.starts.is_empty() {
            map.starts.push(position);
        }
        let last_start = map.starts.iter().rev().nth(1).copied();
        let continues = map.extents.last().zip(last_start).is_some_and(|(last, start)| match (*last, extent) {
            (Extent::Zeros, Extent::Zeros) => true,
            (Extent::Inline(a), Extent::Inline(b)) => a + (position - start) == b,
            (Extent::Source(s, a), Extent::Source(t, b)) => s == t && a + (position - start) == b,
            _ => false,
        });
        if continues {
            map.starts.pop();
        } else {
            map.extents.push(extent);
        }
        map.starts.push(position + len);
    }

    /// The source's number; looked for from the back, since layouts use one source for many files in a row.
    fn number(&mut self, source: &SharedSource) -> u32 {
        let sources = &mut self.map.sources;
        let found = sources.iter().rposition(|s| Arc::ptr_eq(s, source)).unwrap_or_else(|| {
            sources.push(source.clone());
            sources.len() - 1
        });
        u32::try_from(found).expect("fewer than 2^32 sources fit in memory")
    }
}

impl Sink for MapBuilder {
    fn position(&self) -> u64 {
        self.map.end()
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let at = self.map.arena.len() as u64;
        self.map.arena.extend_from_slice(bytes);
        self.push(Extent::Inline(at), bytes.len() as u64);
    }

    fn zeros(&mut self, len: u64) {
        self.push(Extent::Zeros, len);
    }

    fn extent(&mut self, source: &SharedSource, offset: u64, len: u64) {
        if len > 0 {
            let number = self.number(source);
            self.push(Extent::Source(number, offset), len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bytes;
    use super::*;

    fn sample() -> ExtentMap {
        let source: SharedSource = Arc::new(Bytes((0..100).collect()));
        let mut map = MapBuilder::default();
        map.bytes(b"head");
        map.bytes(b"er");
        map.zeros(3);
        map.extent(&source, 10, 5);
        map.extent(&source, 15, 5);
        map.align(8);
        map.finish()
    }

    #[test]
    fn neighbours_that_continue_each_other_are_one_run() {
        let runs: Vec<_> = sample().runs().collect();
        assert_eq!(
            runs,
            [(0..6, Extent::Inline(0)), (6..9, Extent::Zeros), (9..19, Extent::Source(0, 10)), (19..24, Extent::Zeros)]
        );
    }

    #[test]
    fn prop_any_split_of_a_read_equals_the_whole() {
        let map = sample();
        let mut whole = vec![0; 24];
        map.read_at(&mut whole, 0).unwrap();
        assert_eq!(&whole[..12], b"header\0\0\0\x0a\x0b\x0c");
        for start in 0..24 {
            for end in start..=24 {
                let mut part = vec![0xff; end - start];
                map.read_at(&mut part, start as u64).unwrap();
                assert_eq!(part, whole[start..end]);
                part.fill(0xff);
                assert!(map.read_at_once(&mut part, start as u64) && part == whole[start..end]);
            }
        }
        assert!(map.read_at(&mut [0; 2], 23).is_err() && !map.read_at_once(&mut [0; 2], 23));
    }

    #[test]
    fn data_skips_zeros_and_looks_through_sources() {
        let map = sample();
        assert_eq!(map.data_from(0), Some(0..6));
        assert_eq!(map.data_from(7), Some(9..19));
        assert_eq!(map.data_from(12), Some(12..19));
        assert_eq!(map.data_from(19), None);
    }

    #[test]
    fn the_length_of_data_counts_no_zeros() {
        let map = sample();
        assert_eq!([0..24, 0..0, 5..10, 7..8, 18..24, 10..11].map(|range| map.data_len(range)), [16, 0, 2, 0, 1, 1]);
        let mut outer = MapBuilder::default();
        outer.zeros(1 << 40);
        outer.extent(&(Arc::new(sample()) as SharedSource), 2, 20);
        assert_eq!(outer.finish().data_len(0..(1 << 40) + 20), 14);
        let mut many = MapBuilder::default();
        (0..5000).for_each(|_| {
            many.zeros(1);
            many.bytes(b"x");
        });
        assert_eq!(many.finish().data_len(0..10_000), 10_000);
    }
}
