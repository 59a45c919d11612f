//! The content of a tree's files as file systems store it: once an inode, in the order it lies in the layers, so that
//! reading an image from front to back decodes each layer once.

use std::sync::Arc;

use super::order::PAGE;
use crate::base::FileKind;
use crate::extent::{PagedLayout, Sink};
use crate::tree::{InodeId, Tree};

/// Regular files that are not empty.
pub(super) struct Contents {
    tree: Arc<Tree>,
    files: Vec<InodeId>,
    /// What each file's content is padded to, in bytes.
    unit: u64,
}

impl Contents {
    /// The files of a tree for which `belongs` says yes.
    pub fn new(tree: Arc<Tree>, unit: u64, belongs: impl Fn(InodeId) -> bool) -> Self {
        let is_file = |id: &InodeId| {
            let inode = tree.inode(*id);
            inode.metadata.kind == FileKind::File && inode.size > 0
        };
        let ids = (0..tree.inode_count()).filter_map(|index| tree.id(index));
        let mut files: Vec<InodeId> = ids.filter(is_file).filter(|id| belongs(*id)).collect();
        files.sort_unstable_by_key(|id| (tree.content_order(*id), *id));
        Self { tree, files, unit }
    }

    /// All files, in the order of their content.
    pub fn files(&self) -> &[InodeId] {
        &self.files
    }

    /// The files of one page.
    pub fn page(&self, page: usize) -> &[InodeId] {
        &self.files[page * PAGE..self.files.len().min((page + 1) * PAGE)]
    }

    /// Lays out one file's content at the sink's position.
    pub fn emit_file(&self, id: InodeId, sink: &mut dyn Sink) {
        let content = self.tree.content(id).expect("a regular file that is not empty has content");
        sink.extent(&content.source, content.offset, content.size);
        sink.align(self.unit);
    }
}

impl PagedLayout for Contents {
    fn pages(&self) -> usize {
        self.files.len().div_ceil(PAGE)
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        self.page(page).iter().for_each(|id| self.emit_file(*id, sink));
    }
}
