//! The `files` section: what is laid over everything else.

use std::io;
use std::sync::Arc;

use super::Error;
use super::work::{Work, tree_error};
use crate::base::{FileKind, Metadata};
use crate::extent::{Bytes, SharedSource};
use crate::spec::{File, FileContent, MetadataFormat, Problem};
use crate::tree::{Content, Node};

/// Permission bits of a file without a mode.
const FILE_MODE: u32 = 0o600;
/// Permission bits of a directory without a mode.
const DIRECTORY_MODE: u32 = 0o700;

impl Work<'_> {
    /// Adds all files, in order.
    pub(super) fn add_files(&mut self) -> Result<(), Error> {
        self.spec.files.iter().try_for_each(|file| self.add_file(file))
    }

    fn add_file(&mut self, file: &File) -> Result<(), Error> {
        let ids = [&file.uid, &file.gid].map(|id| self.ids.number(id.as_ref()));
        let [Ok(uid), Ok(gid)] = ids else {
            self.problems.extend(ids.into_iter().filter_map(Result::err));
            return Ok(());
        };
        let is_directory = file.content == FileContent::Directory;
        let mode = file.mode.unwrap_or(if is_directory { DIRECTORY_MODE } else { FILE_MODE });
        let metadata = |kind, mode| Metadata { kind, mode: permissions(mode), uid, gid, ..Metadata::file() };
        let node = match &file.content {
            FileContent::Directory => Node::Plain(metadata(FileKind::Directory, mode)),
            FileContent::Symlink(target) => Node::Symlink(metadata(FileKind::Symlink, mode), target.as_bytes()),
            FileContent::Contents(bytes) => Node::Generated(metadata(FileKind::File, mode), bytes),
            FileContent::Metadata(format) => {
                Node::File(metadata(FileKind::File, mode), Content::whole(self.metadata_text(*format)))
            }
            FileContent::Source { path, optional } => match self.supply.host_file(&path.value) {
                Ok(source) => Node::File(metadata(FileKind::File, mode), Content::whole(source)),
                Err(error) if *optional && is_missing(&error) => return Ok(()),
                Err(source) => {
                    return Err(Error::HostFile { path: path.value.clone(), place: path.place, source });
                }
            },
        };
        self.put_file(file, parent(metadata(FileKind::Directory, mode), mode), node)
    }

    /// The spec itself in a format; files share it, however many there are.
    fn metadata_text(&mut self, format: MetadataFormat) -> SharedSource {
        if let Some((_, text)) = self.metadata.iter().find(|(known, _)| *known == format) {
            return text.clone();
        }
        let text: SharedSource = Arc::new(Bytes(self.supply.metadata(format).into_bytes().into_boxed_slice()));
        self.metadata.push((format, text.clone()));
        text
    }

    fn put_file(&mut self, file: &File, parent: Metadata, node: Node<'_>) -> Result<(), Error> {
        let path = file.path.value.as_bytes();
        let error = || tree_error(format!("`{}`", file.path.value), file.path.place);
        self.root.make_parents(path, &parent).map_err(error())?;
        let below = self.root.lookup_often(path).filter(|below| self.root.inode(*below).is_directory());
        let is_directory = matches!(node, Node::Plain(_));
        if below.is_some_and(|below| !is_directory && self.root.children(below).next().is_some()) {
            let message = format!("`{}` is a directory with entries, so no file can be there", file.path.value);
            self.problems.push(Problem::new(file.path.place, message).hint("write the file under another path"));
            return Ok(());
        }
        self.root.insert(path, node).map_err(error())?;
        Ok(())
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The metadata of directories that are made for a file: who may do anything with it may enter them.
fn parent(file: Metadata, mode: u32) -> Metadata {
    let enter = [0o700, 0o070, 0o007].into_iter().filter(|class| mode & class != 0).map(|class| class & 0o111);
    Metadata { kind: FileKind::Directory, mode: permissions(enter.fold(mode, |mode, x| mode | x)), ..file }
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("twelve bits fit")
}

#[cfg(test)]
mod tests {
    use crate::rootfs::sample::{assemble_root, assemble_with, file_lines};

    #[test]
    fn parents_are_made_with_what_the_file_has_and_the_right_to_enter() {
        let root = assemble_root(
            "files:\n  - {path: a/b/c, contents: x, mode: '0640', uid: 3, gid: 4}\n  - {path: a/d, contents: y}",
        );
        assert_eq!(file_lines(&root), ["a 750 3:4", "a/b 750 3:4", "a/b/c 640 3:4", "a/d 600 0:0"]);
    }

    #[test]
    fn directories_that_exist_stay_as_they_are_unless_they_are_named() {
        let root = assemble_root(
            "files:\n  - {path: a, directory: true, mode: '1777'}\n  - {path: a/b/c, contents: x}\n  - {path: /a/b, directory: true, mode: '0711'}",
        );
        assert_eq!(file_lines(&root), ["a 1777 0:0", "a/b 711 0:0", "a/b/c 600 0:0"]);
    }

    #[test]
    fn a_later_file_replaces_an_earlier_one() {
        let root = assemble_root(
            "files:\n  - {path: a, contents: first}\n  - {path: a, symlink: b}\n  - {path: ./c//d, contents: ''}",
        );
        assert_eq!(file_lines(&root), ["a -> b", "c 700 0:0", "c/d 600 0:0"]);
    }

    #[test]
    fn an_optional_file_may_be_missing() {
        let root = assemble_root("files: [{path: a, source: gone, optional: true}, {path: b, contents: x}]");
        assert_eq!(file_lines(&root), ["b 600 0:0"]);
        let text = "files: [{path: a, source: gone}]";
        let error = assemble_with(text, &|_| unreachable!("the spec has no images")).err().unwrap();
        assert_eq!((error.to_string().as_str(), error.place().unwrap().column), ("cannot read `gone`", 27));
    }

    #[test]
    fn a_file_takes_the_place_of_an_empty_directory_alone() {
        let root = assemble_root("files: [{path: d, directory: true}, {path: d, contents: y}]");
        assert_eq!(file_lines(&root), ["d 600 0:0"]);
        let text = "files: [{path: a/b, contents: x}, {path: a, symlink: c}]";
        let error = assemble_with(text, &|_| unreachable!("the spec has no images")).err().unwrap();
        assert_eq!(error.to_string(), "`a` is a directory with entries, so no file can be there");
        assert_eq!(error.place().unwrap().column, 42);
    }
}
