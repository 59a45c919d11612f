//! The two ramdisks of an image for an AWS Nitro Enclave that is made of images: what AWS's `init` starts with, and the
//! application, whose command it starts.
//!
//! # Format
//! AWS's crate `enclave_build` (`yaml_generator.rs`, `docker.rs`), and `init.c` of `aws-nitro-enclaves-sdk-bootstrap`, which
//! reads a line of `/cmd` for each argument, one of `/env` for each variable, and changes its root to `/rootfs`.

use super::Error;
use super::boot::{self, CMDLINE, KERNEL};
use super::work::{Work, tree_error};
use crate::base::Metadata;
use crate::oci::ImageConfig;
use crate::spec::{Kernel, Located};
use crate::tree::{self, Content, Node, TreeBuilder};

/// Where an image may have what an enclave starts with: beside its root, or where Amazon Linux's package has it.
const FOLDERS: [&str; 3] = ["", "boot", "usr/share/nitro_enclaves/blobs"];
/// Names of kernels: AWS's for x86 and arm64, and LinuxKit's.
const KERNELS: [&str; 3] = ["bzImage", "Image", "kernel"];
const INIT: &str = "init";
/// Which modules `init` loads, in order; without it that is `nsm.ko`, where it is there.
const LOAD_ORDER: &[u8] = b"modules_load_order";
/// The directory that `init` changes its root to.
const ROOTFS: &[u8] = b"rootfs";
/// Directories of it that `init` mounts on, or that programs expect.
const DIRECTORIES: [&[u8]; 6] = [b"dev", b"run", b"sys", b"var", b"proc", b"tmp"];

impl Work<'_> {
    /// Adds the kernel, its command line, `init` and modules of the kernel image.
    pub(super) fn add_bootstrap(&mut self, kernel: &Kernel) -> Result<(), Error> {
        let image = self.images.take(&kernel.image);
        self.note_laid(&kernel.image, "", &image.tree)?;
        let missing = |path: &str| Error::KernelFile {
            reference: kernel.image.value.clone(),
            path: path.to_owned(),
            key: INIT,
            place: kernel.image.place,
        };
        let in_folder = |folder: &str, name: &str| file(&image.tree, format!("{folder}/{name}").as_bytes());
        let folder = FOLDERS.into_iter().find(|folder| in_folder(folder, INIT).is_some());
        let folder = folder.ok_or_else(|| missing(INIT))?;
        let binary = KERNELS.iter().find_map(|name| in_folder(folder, name)).ok_or_else(|| missing(KERNELS[0]))?;
        let cmdline = in_folder(folder, "cmdline").map(|text| boot::cmdline(&text)).transpose()?.unwrap_or_default();
        let program = Metadata { mode: 0o755, ..Metadata::file() };
        let init = in_folder(folder, INIT).ok_or_else(|| missing(INIT))?;
        let mut nodes = vec![
            (KERNEL.as_bytes().to_vec(), Node::File(Metadata::file(), binary)),
            (CMDLINE.as_bytes().to_vec(), Node::Generated(Metadata::file(), cmdline.trim_ascii())),
            (b"dev".to_vec(), Node::Plain(Metadata::directory())),
            (INIT.as_bytes().to_vec(), Node::File(program, init)),
        ];
        for name in modules(&image.tree, folder.as_bytes()) {
            let metadata = if name == LOAD_ORDER { Metadata::file() } else { program };
            let content = file(&image.tree, &[folder.as_bytes(), b"/", &name].concat());
            nodes.extend(content.map(|content| (name, Node::File(metadata, content))));
        }
        for (path, node) in nodes {
            let error = tree_error(format!("the files of image `{}`", kernel.image.value), kernel.image.place);
            self.root.insert(&path, node).map_err(error)?;
        }
        Ok(())
    }
}

/// The content of a file; links are followed inside the image.
fn file(tree: &TreeBuilder, path: &[u8]) -> Option<Content> {
    boot::followed(tree, path).and_then(|inode| tree.content(inode))
}

/// The names of the modules in a directory, and of their order.
fn modules(tree: &TreeBuilder, folder: &[u8]) -> Vec<Vec<u8>> {
    let is_wanted = |name: &[u8]| name.ends_with(b".ko") || name == LOAD_ORDER;
    let names = tree.lookup_directory(folder).map(|folder| tree.children(folder).map(|(name, _)| name.to_vec()));
    let mut names: Vec<_> = names.into_iter().flatten().filter(|name| is_wanted(name)).collect();
    names.sort_unstable();
    names
}

/// What starts in the application of an image: arguments and environment as `init` reads them.
pub(super) struct Command {
    cmd: Vec<u8>,
    env: Vec<u8>,
}

impl Command {
    /// What an image starts: its entrypoint and its command, as every container runtime has it.
    ///
    /// # Errors
    /// When it starts nothing, or something has a line break in it.
    pub fn of(image: &Located<String>, config: &ImageConfig) -> Result<Self, Error> {
        let error = |reason| Error::Command { reference: image.value.clone(), reason, place: image.place };
        let words: Vec<&String> = config.entrypoint.iter().chain(&config.cmd).collect();
        if words.first().is_none_or(|program| program.is_empty()) {
            return Err(error("it has neither an entrypoint nor a command"));
        }
        if words.into_iter().chain(&config.env).any(|line| line.contains(['\n', '\0'])) {
            return Err(error("a line break in its command or environment cannot be told to an enclave"));
        }
        let lines = |lines: &mut dyn Iterator<Item = &String>| {
            lines.fold(Vec::new(), |text, line| [&text, line.as_bytes(), b"\n"].concat())
        };
        Ok(Self { cmd: lines(&mut config.entrypoint.iter().chain(&config.cmd)), env: lines(&mut config.env.iter()) })
    }
}

/// A root as the directory `rootfs` of another one; beside it what is to be started there, where that is known.
///
/// # Errors
/// When the tree cannot take it.
pub(super) fn application(root: TreeBuilder, command: Option<&Command>) -> Result<TreeBuilder, tree::Error> {
    let mut tree = TreeBuilder::new();
    let Some(Command { cmd, env }) = command else {
        tree.graft(ROOTFS, root)?;
        return Ok(tree);
    };
    let mut root = root;
    for path in DIRECTORIES {
        match root.lookup_directory(path) {
            Some(directory) => *root.metadata_mut(directory) = Metadata::directory(),
            None => drop(root.insert(path, Node::Plain(Metadata::directory()))?),
        }
    }
    tree.graft(ROOTFS, root)?;
    tree.insert(b"cmd", Node::Generated(Metadata::file(), cmd))?;
    tree.insert(b"env", Node::Generated(Metadata::file(), env))?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Fault as _;
    use crate::rootfs::sample::{assemble_as, image, image_config, listing, text_in, tree};
    use crate::rootfs::{Assembly, Options, Part, SourceImage};

    fn assembled(part: Part, text: &str, image: &dyn Fn(&str) -> SourceImage) -> Result<Assembly, Error> {
        assemble_as(text, image, Options { part, ..Options::default() })
    }

    fn bootstrap(files: &[&str]) -> Result<Assembly, Error> {
        assembled(Part::Bootstrap, "kernel: {image: q.io/k}", &|reference| image(reference, tree(files)))
    }

    #[test]
    fn an_image_with_awss_files_gives_the_kernel_its_command_line_and_the_first_ramdisk() {
        for folder in ["", "boot/", "usr/share/nitro_enclaves/blobs/"] {
            let files = ["bzImage=KER", "cmdline=a b\n", "real=I", "init->real", "nsm.ko=N", "bin/other=1"];
            let files = files.map(|file| format!("{folder}{file}"));
            let all = bootstrap(&files.each_ref().map(String::as_str)).unwrap();
            assert_eq!((all.kernel.unwrap().size(), all.cmdline.as_deref()), (3, Some(&b"a b"[..])));
            let names: Vec<Vec<u8>> = all.tree.walk().map(|entry| all.tree.path(entry)).collect();
            assert_eq!(names, [&b"boot"[..], b"dev", b"init", b"nsm.ko"]);
            assert_eq!((text_in(&all.tree, "init"), text_in(&all.tree, "nsm.ko")), ("I".to_owned(), "N".to_owned()));
            let modes =
                ["init", "nsm.ko"].map(|name| all.tree.inode(all.tree.find(name.as_bytes()).unwrap()).metadata.mode);
            assert_eq!(modes, [0o755; 2]);
        }
    }

    #[test]
    fn a_kernel_image_without_what_an_enclave_starts_with_is_refused_with_what_it_should_have() {
        for (files, name) in
            [(&["kernel=K"][..], "init"), (&["init=I"], "bzImage"), (&["init/x=I", "bzImage=K"], "init")]
        {
            let error = bootstrap(files).err().unwrap();
            assert_eq!(error.to_string(), format!("image `q.io/k` has no file `{name}`"));
            assert!(error.hint().unwrap().contains("`nsm.ko`"));
        }
        assert!(bootstrap(&["init=I", "kernel=K"]).unwrap().cmdline.is_none());
    }

    #[test]
    fn an_application_has_the_command_and_the_environment_of_its_image_beside_its_files() {
        let image = |reference: &str| image(reference, tree(&["bin/sh=1", "private=1", "var/x=1"]));
        let all = assembled(Part::ApplicationOfImage, "init: [q.io/a]", &image).unwrap();
        assert_eq!(
            (text_in(&all.tree, "cmd"), text_in(&all.tree, "env")),
            ("/entry\narg\n".into(), "PATH=/bin\n".into())
        );
        for path in ["bin/sh", "dev", "run", "sys", "var/x", "proc", "tmp", "etc/hosts"] {
            assert!(all.tree.find(format!("rootfs/{path}").as_bytes()).is_some(), "{path}");
        }
        let names: Vec<Vec<u8>> = all.tree.walk().map(|entry| all.tree.path(entry)).collect();
        assert!(names.iter().all(|name| *name == b"cmd" || *name == b"env" || name.starts_with(b"rootfs")));
        let all = assembled(Part::Application, "init: [q.io/a]", &image).unwrap();
        assert!(all.tree.find(b"cmd").is_none() && all.tree.find(b"rootfs/bin/sh").is_some());
        assert!(all.tree.find(b"rootfs/tmp").is_none());
    }

    #[test]
    fn a_directory_behind_a_link_of_the_application_is_used_and_the_link_stays() {
        let command = Command { cmd: b"x\n".to_vec(), env: Vec::new() };
        let made = application(tree(&["tmp->real", "real/x=1"]), Some(&command)).unwrap();
        let expected = "cmd env rootfs/ rootfs/dev/ rootfs/proc/ rootfs/real/ rootfs/real/x rootfs/run/ rootfs/sys/ \
                        rootfs/tmp->real rootfs/var/";
        assert_eq!(listing(made), expected);
    }

    #[test]
    fn commands_that_an_enclave_cannot_be_told_are_refused() {
        let name = Located::nowhere("q.io/a".to_owned());
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (entrypoint, cmd, env, reason) in [
            (&[][..], &[][..], &[][..], "neither an entrypoint nor a command"),
            (&[""], &["x"], &[], "neither"),
            (&["a"], &["b\nc"], &[], "a line break"),
            (&["a"], &[], &["A=b\nc"], "a line break"),
        ] {
            let (entrypoint, cmd, env) = (words(entrypoint), words(cmd), words(env));
            let config = ImageConfig { entrypoint, cmd, env, ..image_config() };
            let error = Command::of(&name, &config).err().unwrap();
            assert!(error.to_string().contains(reason) && error.hint().is_some(), "{error}");
        }
        let config = ImageConfig { entrypoint: Vec::new(), cmd: words(&["a", ""]), env: Vec::new(), ..image_config() };
        let command = Command::of(&name, &config).unwrap();
        assert_eq!((command.cmd, command.env), (b"a\n\n".to_vec(), Vec::new()));
    }
}
