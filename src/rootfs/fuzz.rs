//! Fuzz target of what is looked for in a kernel file.

use std::sync::Arc;

use super::kernel::payload;
use crate::extent::Bytes;
use crate::layer::Packing;
use crate::tree::Content;

/// The packed stream in a kernel file: what is found lies within the file.
pub fn kernel(data: &[u8]) {
    let file = Content::whole(Arc::new(Bytes(data.into())));
    let found = payload(&file).expect("all of the file can be read");
    if let Ok(found) = found {
        let source = found.source().expect("what is found lies within the file");
        let mut bytes = vec![0; usize::try_from(found.size).expect("no longer than the file")];
        source.read_at(&mut bytes, 0).expect("what is found can be read");
        assert!(Packing::of(&bytes).is_some());
    }
}
