//! Small trees, options and images for the tests of this module.

use std::io;
use std::sync::Arc;

use super::{
    Assembly, Cause, Error, Options, SourceImage, StoredImage, Supply, assemble, references, stored_references,
};
use crate::base::{Digest, ErrorKind, FileKind, Metadata, Platform};
use crate::extent::{Bytes, ReadError, SharedSource};
use crate::oci::{Descriptor, ImageConfig};
use crate::spec::{ContainerOptions, Input, MetadataFormat, Spec, parse, parse_label};
use crate::tree::{Content, Node, Tree, TreeBuilder};

/// A tree from `path=content` and `path->target`.
pub(super) fn tree(entries: &[&str]) -> TreeBuilder {
    let mut tree = TreeBuilder::new();
    for entry in entries {
        if let Some((path, target)) = entry.split_once("->") {
            tree.insert(path.as_bytes(), Node::Symlink(Metadata::symlink(), target.as_bytes()))
                .expect("samples are right");
        } else {
            let (path, content) = entry.split_once('=').expect("samples are right");
            tree.insert(path.as_bytes(), Node::Generated(Metadata::file(), content.as_bytes()))
                .expect("samples are right");
        }
    }
    tree
}

fn paths(tree: &Tree) -> impl Iterator<Item = (String, crate::tree::InodeId)> + '_ {
    tree.walk().map(|entry| (String::from_utf8(tree.path(entry)).expect("samples are right"), tree.entry_inode(entry)))
}

/// All paths: directories end in `/`, links show their target.
pub(super) fn listing(tree: TreeBuilder) -> String {
    let tree = tree.finish();
    let line = |(path, inode)| match tree.inode(inode).metadata.kind {
        FileKind::Directory => format!("{path}/"),
        FileKind::Symlink => format!("{path}->{}", String::from_utf8_lossy(tree.link_target(inode))),
        _ => path,
    };
    paths(&tree).map(line).collect::<Vec<_>>().join(" ")
}

/// `path mode uid:gid` of every entry, `path -> target` of links.
pub(super) fn file_lines(tree: &Tree) -> Vec<String> {
    let line = |(path, inode)| {
        let metadata = tree.inode(inode).metadata;
        match metadata.kind {
            FileKind::Symlink => format!("{path} -> {}", String::from_utf8_lossy(tree.link_target(inode))),
            _ => format!("{path} {:o} {}:{}", metadata.mode, metadata.uid, metadata.gid),
        }
    };
    paths(tree).map(line).collect()
}

/// The content of a file.
pub(super) fn text_at(tree: &TreeBuilder, path: &str) -> String {
    let content = tree.content(tree.lookup(path.as_bytes()).expect("samples are right")).expect("samples are right");
    let mut bytes = vec![0; usize::try_from(content.size).expect("samples are right")];
    content.source.read_at(&mut bytes, content.offset).expect("samples are right");
    String::from_utf8(bytes).expect("samples are right")
}

/// Container options from YAML.
pub(super) fn options(text: &str) -> ContainerOptions {
    parse_label(text).expect("samples are right")
}

/// A spec from YAML.
pub(super) fn spec(text: &str) -> Spec {
    parse(&[Input { name: "spec.yml".to_owned(), text: text.as_bytes().to_vec() }]).expect("samples are right").spec
}

/// An image config with something in every field.
pub(super) fn image_config() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/entry".to_owned()],
        cmd: vec!["arg".to_owned()],
        env: vec!["PATH=/bin".to_owned()],
        working_dir: "/work".to_owned(),
        user: "ignored".to_owned(),
        labels: std::collections::BTreeMap::new(),
        platform: Platform::linux("amd64"),
        diff_ids: Vec::new(),
    }
}

/// An image of these files.
pub(super) fn image(reference: &str, tree: TreeBuilder) -> SourceImage {
    SourceImage { reference: reference.to_owned(), config: Arc::new(image_config()), tree: Arc::new(tree) }
}

/// An image of one blob.
fn stored(reference: &str) -> StoredImage {
    let digest = Digest::of(b"{}");
    let blob: SharedSource = Arc::new(Bytes(b"{}".as_slice().into()));
    StoredImage { reference: reference.to_owned(), root: Descriptor::new("m", digest, 2), blobs: vec![(digest, blob)] }
}

/// The content of a file of a finished tree.
pub(super) fn text_in(tree: &Tree, path: &str) -> String {
    let content = tree.content(tree.find(path.as_bytes()).expect("samples are right")).expect("samples are right");
    let mut bytes = vec![0; usize::try_from(content.size).expect("samples are right")];
    content.source.read_at(&mut bytes, content.offset).expect("samples are right");
    String::from_utf8(bytes).expect("samples are right")
}

/// The attestation of the image `attested`.
const STATEMENT: &str = r#"{"predicateType": "https://spdx.dev/Document", "predicate": {"spdxVersion": "SPDX-2.3",
    "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                       "relatedSpdxElement": "SPDXRef-p"}],
    "packages": [{"SPDXID": "SPDXRef-p", "name": "p", "versionInfo": "1", "licenseDeclared": "MIT",
                  "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:generic/p@1"}]}],
    "files": [{"SPDXID": "SPDXRef-f", "fileName": "/usr/bin/p"}]}}"#;

/// A supply that has something of everything but files of the host.
struct Sample<'a>(&'a Spec);

impl Supply for Sample<'_> {
    fn stored(&mut self, number: usize, _: &[Platform]) -> Result<StoredImage, Cause> {
        Ok(stored(&stored_references(self.0)[number].value))
    }

    fn statements(&mut self, number: usize) -> Result<Vec<Vec<u8>>, Cause> {
        let reference = references(self.0)[number].value.clone();
        Ok(if reference.ends_with("/attested") { vec![STATEMENT.as_bytes().to_vec()] } else { Vec::new() })
    }

    fn archive(&self, _: &Content) -> Result<TreeBuilder, Cause> {
        Ok(tree(&["lib/modules/m=1"]))
    }

    fn unpack(&self, _: &Content) -> Result<SharedSource, Cause> {
        Err(Cause::new(ReadError::new(ErrorKind::ImageNotFound, "not in this test")))
    }

    fn host_file(&self, _: &str) -> io::Result<SharedSource> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn metadata(&self, format: MetadataFormat) -> String {
        format!("{format:?}")
    }
}

/// Assembles a spec whose images come from `image`.
pub(super) fn assemble_with(text: &str, image: &dyn Fn(&str) -> SourceImage) -> Result<Assembly, Error> {
    assemble_as(text, image, Options::default())
}

/// The same with options.
pub(super) fn assemble_as(
    text: &str,
    image: &dyn Fn(&str) -> SourceImage,
    options: Options,
) -> Result<Assembly, Error> {
    let spec = spec(text);
    let images = references(&spec).into_iter().map(|reference| image(&reference.value)).collect();
    assemble(&spec, images, &mut Sample(&spec), options)
}

/// The root of a spec without images.
pub(super) fn assemble_root(text: &str) -> Tree {
    assemble_with(text, &|_| unreachable!("the spec has no images")).expect("samples are right").tree
}
