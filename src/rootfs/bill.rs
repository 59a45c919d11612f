//! The bill of materials in the root: what attestations and databases of packages say of every image that is laid out.

use std::collections::HashSet;
use std::io::{self, BufReader, Read};

use super::boot::followed;
use super::work::{Laid, Work, tree_error};
use super::{Cause, Error};
use crate::base::{ErrorKind, FileKind, Metadata, in_memory};
use crate::extent::{ReadError, SharedSource};
use crate::sbom::{Bill, Database, Distribution, Part};
use crate::spec::{Located, Place};
use crate::tree::{Content, Node, TreeBuilder};

/// Most entries of images that are laid out again, after they were once: their blobs bound the first time alone.
const MOST_AGAIN: usize = 1_000_000;
/// Where databases of packages are; an image may have several.
const DATABASES: [(&[u8], Database); 3] = [
    (b"var/lib/dpkg/status", Database::Dpkg),
    (b"lib/apk/db/installed", Database::Apk),
    (b"usr/lib/apk/db/installed", Database::Apk),
];
/// Where images without dpkg have a file for each package.
const DPKG_FILES: &[u8] = b"var/lib/dpkg/status.d";
const RELEASES: [&[u8]; 2] = [b"etc/os-release", b"usr/lib/os-release"];
/// Largest database in bytes; that of a large distribution has some ten million.
const MAX_DATABASE: u64 = 128 << 20;
/// Largest `os-release` in bytes.
const MAX_RELEASE: u64 = 64 << 10;
/// Bytes that are read of a database at once.
const BUFFER: usize = 64 << 10;

impl Work<'_> {
    /// Counts an image that is laid out below `prefix`, and takes note of it when there is to be a bill.
    ///
    /// # Errors
    /// When images that are laid out again have too many entries together.
    pub(super) fn note_laid(
        &mut self,
        reference: &Located<String>,
        prefix: &str,
        tree: &TreeBuilder,
    ) -> Result<(), Error> {
        let number = self.images.number(reference);
        if !self.laid_once.insert(self.images.first_alike(reference)) {
            self.laid_again += tree.entry_count();
        }
        if self.laid_again > MOST_AGAIN {
            let what = format!(
                "images that are laid out again have over {MOST_AGAIN} entries, `{}` the last",
                reference.value
            );
            return Err(Error::TooMuch { what, place: reference.place });
        }
        if self.options.bill.is_none() {
            return Ok(());
        }
        let file = |path: &[u8]| followed(tree, path).and_then(|inode| tree.content(inode));
        let mut inodes: Vec<_> =
            DATABASES.iter().filter_map(|(path, kind)| Some((*kind, followed(tree, path)?))).collect();
        // One list may lie at two places by a link.
        inodes.dedup_by_key(|(_, inode)| *inode);
        let found = inodes.into_iter().filter_map(|(kind, inode)| Some((kind, tree.content(inode)?)));
        let mut databases: Vec<(Database, Content)> = found.collect();
        databases.extend(dpkg_files(tree).into_iter().map(|content| (Database::Dpkg, content)));
        self.laid.push(Laid {
            number,
            reference: reference.value.clone(),
            place: reference.place,
            prefix: prefix.to_owned(),
            release: RELEASES.iter().find_map(|path| file(path)),
            databases,
        });
        Ok(())
    }

    /// Adds the bill of all images, each once for each place.
    pub(super) fn add_bill(&mut self) -> Result<(), Error> {
        let Some(options) = self.options.bill.clone() else { return Ok(()) };
        let mut bill = Bill::new(options.format, options.created);
        let mut seen = HashSet::new();
        for laid in std::mem::take(&mut self.laid) {
            if seen.insert((laid.number, laid.prefix.clone())) {
                let what = format!("the SBOM of image `{}`", laid.reference);
                let error = |source| Error::Bill { what, place: laid.place, source };
                self.add_laid(&mut bill, &laid).map_err(error)?;
            }
        }
        let error = |source| Error::Bill { what: "the SBOM".to_owned(), place: Place::default(), source };
        let text = bill.finish().map_err(|source| error(Cause::new(source)))?;
        let path = options.path.as_bytes();
        if self.root.lookup_often(path).is_some_and(|below| self.root.inode(below).is_directory()) {
            let message = format!("the root has a directory `{}`", options.path);
            return Err(error(Cause::new(ReadError::new(ErrorKind::Spec, message))));
        }
        let node = Node::Generated(Metadata::file(), &text);
        self.root.insert(path, node).map_err(tree_error("the SBOM", Place::default()))?;
        Ok(())
    }

    fn add_laid(&mut self, bill: &mut Bill, laid: &Laid) -> Result<(), Cause> {
        let part = Part { reference: &laid.reference, prefix: &laid.prefix };
        let statements = self.supply.statements(laid.number)?;
        for statement in &statements {
            bill.add_statement(part, statement).map_err(Cause::new)?;
        }
        if statements.is_empty() {
            bill.add_image(part);
            laid.read(bill, part).map_err(Cause::new)?;
        }
        Ok(())
    }
}

impl Laid {
    /// Adds the packages of its databases.
    fn read(&self, bill: &mut Bill, part: Part<'_>) -> Result<(), crate::sbom::Error> {
        let release = self.release.as_ref().filter(|_| !self.databases.is_empty());
        let distribution = match release.map(|content| reader(content, MAX_RELEASE)).transpose()? {
            Some(mut reader) => Distribution::read(&mut reader)?,
            None => Distribution::default(),
        };
        for (database, content) in &self.databases {
            let mut reader = reader(content, MAX_DATABASE)?;
            database.read(&mut reader, &distribution, &mut |package| bill.add_package(part, package))?;
        }
        Ok(())
    }
}

/// The files of packages, each of which is a database of one; beside them are lists of their checksums.
fn dpkg_files(tree: &TreeBuilder) -> Vec<Content> {
    let directory = followed(tree, DPKG_FILES).filter(|inode| tree.inode(*inode).metadata.kind == FileKind::Directory);
    let children = directory.into_iter().flat_map(|directory| tree.children(directory));
    let mut files: Vec<_> = children.filter(|(name, _)| !name.ends_with(b".md5sums")).collect();
    files.sort_unstable_by_key(|(name, _)| *name);
    // A file may have many names.
    let mut seen = HashSet::new();
    files.retain(|(_, inode)| seen.insert(*inode));
    files.into_iter().filter_map(|(_, inode)| tree.content(inode)).collect()
}

/// Reads a content from its start.
///
/// # Errors
/// When it is over `limit` bytes.
fn reader(content: &Content, limit: u64) -> io::Result<BufReader<ContentReader>> {
    if content.size > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is over {limit} bytes")));
    }
    let source = content.source().map_err(io::Error::other)?;
    Ok(BufReader::with_capacity(BUFFER, ContentReader { source, offset: 0 }))
}

struct ContentReader {
    source: SharedSource,
    offset: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.source.size() - self.offset;
        let part = in_memory(left.min(buf.len() as u64));
        self.source.read_at(&mut buf[..part], self.offset).map_err(io::Error::other)?;
        self.offset += part as u64;
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::Fault as _;
    use crate::rootfs::sample::{assemble_as, image, text_in, tree};
    use crate::rootfs::{Assembly, BillOptions, Options};

    fn assembled(text: &str, files: &[&str]) -> Result<Assembly, Error> {
        let options = Options { bill: Some(BillOptions::default()), ..Options::default() };
        assemble_as(text, &|reference| image(reference, tree(files)), options)
    }

    fn bill(text: &str, files: &[&str]) -> Value {
        serde_json::from_str(&text_in(&assembled(text, files).unwrap().tree, "sbom.spdx.json")).unwrap()
    }

    /// Of each package name, version, path and package-url.
    fn packages(bill: &Value) -> Vec<Value> {
        let url = |one: &Value| one["externalRefs"][0]["referenceLocator"].clone();
        let all = bill["packages"].as_array().unwrap().iter();
        all.map(|one| json!([one["name"], one["versionInfo"], one["packageFileName"], url(one)])).collect()
    }

    #[test]
    fn an_attestation_speaks_for_every_place_of_its_image() {
        let text = "init: [q.io/attested]\nonboot: [{name: a, image: q.io/attested}, {name: b, image: q.io/attested}]";
        let bill = bill(text, &["var/lib/dpkg/status=Package: never\n"]);
        let [url, place] = ["pkg:generic/p@1", "containers/onboot/000-a/lower"];
        assert_eq!(packages(&bill), [json!(["p", "1", "", url]), json!(["p", "1", place, url])]);
        let files: Vec<&Value> = bill["files"].as_array().unwrap().iter().map(|file| &file["fileName"]).collect();
        assert_eq!(files, ["usr/bin/p", "containers/onboot/000-a/lower/usr/bin/p"]);
    }

    #[test]
    fn databases_speak_for_an_image_without_an_attestation() {
        let files = [
            "etc/os-release->../usr/lib/os-release",
            "usr/lib/os-release=ID=debian\nVERSION_ID=\"12\"\n",
            "var/lib/dpkg/status=Package: a\nStatus: install ok installed\nVersion: 1\n",
            "var/lib/dpkg/status.d/c=Package: c\nVersion: 3\n",
            "var/lib/dpkg/status.d/c.md5sums=no package\n",
            "var/lib/dpkg/status.d/b=Package: b\nVersion: 2\n",
        ];
        let bill = bill("services: [{name: s, image: q.io/deb, readonly: true}]", &files);
        let place = "containers/services/s/rootfs";
        let expected = [
            json!(["q.io/deb", null, place, null]),
            json!(["a", "1", place, "pkg:deb/debian/a@1?distro=debian-12"]),
            json!(["b", "2", place, "pkg:deb/debian/b@2?distro=debian-12"]),
            json!(["c", "3", place, "pkg:deb/debian/c@3?distro=debian-12"]),
        ];
        assert_eq!(packages(&bill), expected);
        let related: Vec<&Value> =
            bill["relationships"].as_array().unwrap().iter().map(|one| &one["relatedSpdxElement"]).collect();
        assert_eq!(related, ["SPDXRef-1-image", "SPDXRef-1-package-1", "SPDXRef-1-package-2", "SPDXRef-1-package-3"]);
    }

    #[test]
    fn a_database_of_many_names_is_read_once_and_images_are_laid_out_again_within_bounds() {
        let mut many = tree(&["var/lib/dpkg/status.d/a=Package: a\nVersion: 1\n"]);
        for name in 0..9 {
            many.hard_link(format!("var/lib/dpkg/status.d/b{name}").as_bytes(), b"var/lib/dpkg/status.d/a").unwrap();
        }
        assert_eq!(dpkg_files(&many).len(), 1);
        let volumes: Vec<String> = (0..3).map(|at| format!("{{name: v{at}, image: q.io/a}}")).collect();
        let files: Vec<String> = (0..600_000).map(|at| format!("f{at}=")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let error = assembled(&format!("volumes: [{}]", volumes.join(", ")), &files).err().unwrap();
        assert_eq!(error.kind(), crate::base::ErrorKind::Unsupported, "{error}");
    }

    #[test]
    fn a_database_is_read_through_links_inside_its_image_alone() {
        let list = "usr/lib/apk/db/installed=P:musl\nV:1\nA:x86_64\nL:MIT\n";
        let linked = bill("init: [q.io/apk]", &[list, "lib/apk/db/installed->/usr/lib/apk/db/installed"]);
        assert_eq!(packages(&linked)[1], json!(["musl", "1", "", "pkg:apk/alpine/musl@1?arch=x86_64"]));
        assert_eq!((packages(&linked).len(), &linked["packages"][1]["licenseComments"]), (2, &json!("MIT")));
        let outside = bill("init: [q.io/a]", &["var/lib/dpkg/status->../../../../../../etc/passwd", "x=1"]);
        assert_eq!(packages(&outside).len(), 1);
        let looped = bill("init: [q.io/a]", &["var/lib/dpkg/status->status", "etc/os-release->os-release"]);
        assert_eq!(packages(&looped).len(), 1);
    }

    #[test]
    fn a_database_that_is_none_is_an_error_of_its_image() {
        let error = assembled("init: [q.io/a]", &["lib/apk/db/installed=P:a\nV:1\0\n"]).err().unwrap();
        assert_eq!(error.to_string(), "cannot make the SBOM of image `q.io/a`");
        assert_eq!((error.kind(), error.place().unwrap().column), (ErrorKind::Corrupt, 8));
        assert_eq!(error.hint().as_deref(), Some("leave the SBOM away with `--no-sbom`"));
        let text = "files: [{path: sbom.spdx.json/x, contents: y}]";
        let error = assembled(text, &[]).err().unwrap();
        assert_eq!(crate::base::in_line(&error), "cannot make the SBOM: the root has a directory `sbom.spdx.json`");
    }

    #[test]
    fn a_database_of_any_size_is_not_read() {
        let images = |reference: &str| {
            let mut tree = TreeBuilder::new();
            let zeros = Content::whole(std::sync::Arc::new(crate::extent::Zeros(u64::MAX / 2)));
            tree.insert(b"var/lib/dpkg/status", Node::File(Metadata::file(), zeros)).unwrap();
            image(reference, tree)
        };
        let options = Options { bill: Some(BillOptions::default()), ..Options::default() };
        let error = assemble_as("init: [q.io/a]", &images, options).err().unwrap();
        assert_eq!(crate::base::in_line(&error).split(": ").last(), Some("it is over 134217728 bytes"));
    }
}
