//! A root in the making: what all that add to it work on.

use std::collections::{HashMap, HashSet};

use super::Error;
use super::images::Images;
use super::options::Options;
use super::supply::Supply;
use super::user::Ids;
use crate::extent::SharedSource;
use crate::sbom::Database;
use crate::spec::{MetadataFormat, Place, Problem, Spec};
use crate::tree::{self, Content, TreeBuilder};

/// A root in the making.
pub(super) struct Work<'a> {
    pub spec: &'a Spec,
    pub images: Images<'a>,
    pub supply: &'a mut dyn Supply,
    pub options: Options,
    pub ids: Ids<'a>,
    pub root: TreeBuilder,
    /// Expanded reference to the directory in the root that has the image's files.
    pub laid_out: HashMap<String, String>,
    /// The images that the bill of materials is about.
    pub laid: Vec<Laid>,
    /// The texts of the spec itself that were asked for.
    pub metadata: Vec<(MetadataFormat, SharedSource)>,
    /// Those of the kernel image.
    pub device_trees: Vec<(String, Content)>,
    /// The numbers of images whose files were laid out, and the entries of those whose files were laid out once more.
    pub laid_once: HashSet<usize>,
    pub laid_again: usize,
    /// Bytes that were written for containers.
    pub written: usize,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

/// Says what cannot be laid out.
pub(super) fn tree_error(what: impl Into<String>, place: Place) -> impl FnOnce(tree::Error) -> Error {
    let what = what.into();
    move |source| Error::Tree { what, place, source }
}

/// One place of an image in the root.
pub(super) struct Laid {
    pub number: usize,
    pub reference: String,
    pub place: Place,
    pub prefix: String,
    pub release: Option<Content>,
    pub databases: Vec<(Database, Content)>,
}
