//! What a read list names is fetched before it is read: in few large ranges, in the background.
//!
//! # Invariants
//! - A list changes what is fetched and when, never what is read: everything decoded is verified as ever.
//! - Where the store keeps no bytes, no more is fetched than memory is there to hold until it is read.

use std::ops::Range;
use std::sync::{Arc, Weak};
use std::thread;

use super::layers::Layers;
use super::read::Diff;
use super::reads::{ReadList, joined};
use crate::blob::RangedBlob;
use crate::extent::Source as _;

/// Bytes that are fetched rather than asked for around: a tenth of a second of a slow network, as a request may take.
const GAP: u64 = 256 << 10;
/// Requests that are made for a list, unless its ranges lie in more blobs, or too far apart; what else a boot reads takes a
/// few more.
const REQUESTS: usize = 14;
/// Bytes that are fetched at most to save a request where there are too many.
const WIDEST: u64 = 2 << 20;
/// Bytes of one request.
const LONGEST: u64 = 16 << 20;
/// Bytes that are fetched where nothing keeps them but the memory for bytes that are fetched, of which they leave a quarter.
const HELD: u64 = 12 << 20;

/// Ranges of a blob, or of the parts of its index.
struct Step {
    of: Of,
    /// Tells a blob from others.
    address: usize,
    size: u64,
    is_kept: bool,
    ranges: Vec<Range<u64>>,
}

/// What is fetched of a layer that is still in use when it is its turn.
#[derive(Clone)]
enum Of {
    Blob(Weak<Diff>),
    Parts(Weak<Diff>),
}

impl Layers {
    /// Fetches in the background what a list names of open layers that are not here, and the parts of their indexes for it.
    pub fn prefetch(&self, list: &ReadList) {
        let plan = self.plan(list);
        if plan.is_empty() {
            return;
        }
        // Without a thread everything is fetched when it is read.
        let fetch = move || plan.into_iter().for_each(|(of, range)| of.fetch(range));
        let _ = thread::Builder::new().name("prefetch".to_owned()).spawn(fetch);
    }

    fn plan(&self, list: &ReadList) -> Vec<(Of, Range<u64>)> {
        let mut steps: Vec<Step> = Vec::new();
        for (digest, ranges) in list.layers() {
            let open = self.open_diffs().iter().filter(|(of, _)| of == digest).find_map(|(_, diff)| diff.upgrade());
            let Some((diff, blob)) = open.as_ref().and_then(|diff| Some((diff, diff.remote()?))) else { continue };
            for (parts, range) in ranges.iter().filter_map(|range| diff.parts_of(range)) {
                add(&mut steps, Of::Parts(Arc::downgrade(diff)), parts, range);
            }
            ranges.iter().for_each(|range| add(&mut steps, Of::Blob(Arc::downgrade(diff)), blob, range.clone()));
        }
        bounded(&mut steps);
        held(steps)
    }
}

impl Of {
    /// An error is found again by the reader that wants these bytes.
    fn fetch(self, range: Range<u64>) {
        let (Self::Blob(diff) | Self::Parts(diff)) = &self;
        let Some(diff) = diff.upgrade() else { return };
        let blob = match self {
            Self::Blob(_) => diff.remote(),
            // All spans of an index have their parts in one blob.
            Self::Parts(_) => diff.parts_of(&(0..1)).map(|(parts, _)| parts),
        };
        let _ = blob.map(|blob| blob.prefetch(range));
    }
}

fn add(steps: &mut Vec<Step>, of: Of, blob: &RangedBlob, range: Range<u64>) {
    let (address, size) = (std::ptr::from_ref(blob).addr(), blob.size());
    let known = steps.iter().position(|step| step.address == address);
    let at = known.unwrap_or_else(|| {
        steps.push(Step { of, address, size, is_kept: blob.is_kept(), ranges: Vec::new() });
        steps.len() - 1
    });
    steps[at].ranges.push(range);
}

/// Joins what lies near to each other, and where that is too much, what lies nearest.
fn bounded(steps: &mut [Step]) {
    for Step { size, ranges, .. } in &mut *steps {
        ranges.iter_mut().for_each(|range| range.end = range.end.min(*size));
        ranges.retain(|range| range.start < range.end);
        ranges.sort_by_key(|range| range.start);
    }
    join(steps, GAP);
    let gaps = steps.iter().flat_map(|step| step.ranges.windows(2).map(|pair| pair[1].start - pair[0].end));
    let mut gaps: Vec<u64> = gaps.collect();
    let count: usize = steps.iter().map(|step| step.ranges.len()).sum();
    gaps.sort_unstable();
    if let Some(last) = count.checked_sub(REQUESTS + 1) {
        let widest = gaps.get(last).or(gaps.last()).copied().unwrap_or(0);
        join(steps, widest.min(WIDEST));
    }
}

fn join(steps: &mut [Step], gap: u64) {
    steps.iter_mut().for_each(|step| step.ranges = joined(&step.ranges, gap));
}

/// Requests of bounded length, and of what memory must hold not more than it can.
fn held(steps: Vec<Step>) -> Vec<(Of, Range<u64>)> {
    let (mut plan, mut left) = (Vec::new(), HELD);
    for Step { of, is_kept, ranges, .. } in steps {
        for range in ranges {
            let mut at = range.start;
            while at < range.end && (is_kept || left > 0) {
                let most = if is_kept { LONGEST } else { LONGEST.min(left) };
                let end = range.end.min(at.saturating_add(most));
                left -= if is_kept { 0 } else { end - at };
                plan.push((of.clone(), at..end));
                at = end;
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(address: usize, is_kept: bool, ranges: &[Range<u64>]) -> Step {
        Step { of: Of::Blob(Weak::new()), address, size: 1 << 40, is_kept, ranges: ranges.to_vec() }
    }

    #[test]
    fn what_lies_near_is_fetched_in_one_request_and_the_rest_in_few() {
        let mut steps = [step(1, true, &[500_000..600_000, 0..300_000, 900_000..950_000])];
        bounded(&mut steps);
        assert_eq!(steps[0].ranges, [0..600_000, 900_000..950_000]);
        // Gaps of 1, 2, 3 … times 300 kB.
        let mut at = 0;
        let ranges: Vec<Range<u64>> = (1..30).map(|gap| (at..at + 1, at += 300_000 * gap + 1).0).collect();
        let mut steps = [step(1, true, &ranges), step(2, true, &[])];
        bounded(&mut steps);
        assert_eq!(steps[0].ranges.len(), 29 - 6, "gaps over 2 MiB stay");
        steps[0].size = 10;
        bounded(&mut steps);
        assert_eq!((steps[0].ranges.len(), steps[0].ranges[0].end), (1, 10), "nothing lies behind the end");
    }

    #[test]
    fn no_more_is_fetched_than_memory_holds() {
        let lens = |is_kept| -> Vec<u64> {
            let plan = held(vec![step(1, is_kept, &[0..10 << 20, 20 << 20..40 << 20])]);
            plan.iter().map(|(_, range)| (range.end - range.start) >> 20).collect()
        };
        assert_eq!((lens(true), lens(false)), (vec![10, 16, 4], vec![10, 2]));
    }
}
