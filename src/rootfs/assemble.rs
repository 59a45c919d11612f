//! The order in which a root is put together.

use std::collections::{HashMap, HashSet};

use super::boot::Boot;
use super::enclave::{self, Command};
use super::images::Images;
use super::options::{Options, Part};
use super::supply::{SourceImage, Supply};
use super::user::Ids;
use super::work::{Work, tree_error};
use super::{DeviceTree, Error, boot, device_trees};
use crate::extent::SharedSource;
use crate::spec::{Place, Spec};
use crate::tree::{Tree, TreeBuilder};

/// What a spec comes to.
pub struct Assembly {
    /// The kernel, when there is one.
    pub kernel: Option<SharedSource>,
    /// The kernel command line, when it is not empty.
    pub cmdline: Option<Vec<u8>>,
    /// Microcode archive, when there is one.
    pub ucode: Option<SharedSource>,
    /// Device trees of boards, sorted by name, where they are asked for.
    pub device_trees: Vec<DeviceTree>,
    /// The root.
    pub tree: Tree,
    /// What was done otherwise than the spec says, one line each.
    pub warnings: Vec<String>,
}

/// Puts the root of a spec together from its images, which are in the order of [`references`](super::references).
///
/// # Errors
/// When an image cannot be had, values of the spec cannot be with these images, or entries cannot stand together.
pub fn assemble(
    spec: &Spec,
    images: Vec<SourceImage>,
    supply: &mut dyn Supply,
    options: Options,
) -> Result<Assembly, Error> {
    let mut work = Work {
        spec,
        images: Images::new(spec, images),
        supply,
        options,
        ids: Ids::of(spec),
        root: TreeBuilder::new(),
        laid_out: HashMap::new(),
        laid: Vec::new(),
        metadata: Vec::new(),
        device_trees: Vec::new(),
        laid_once: HashSet::new(),
        laid_again: 0,
        written: 0,
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let command = command(&work)?;
    work.add_kernel()?;
    work.add_init()?;
    if work.options.part != Part::Boot {
        work.add_volumes()?;
        work.add_containers()?;
    }
    work.add_files()?;
    if !work.problems.is_empty() {
        return Err(Error::Values { problems: work.problems });
    }
    work.add_bill()?;
    let mut trees = if work.options.device_trees { device_trees::in_boot(&work.root) } else { Vec::new() };
    trees.append(&mut work.device_trees);
    let device_trees = device_trees::sorted(trees).map_err(|source| Error::Read { path: "boot", source })?;
    let Boot { kernel, cmdline, ucode } = boot::take(&mut work.root)?;
    let tree = match work.options.part {
        Part::Root | Part::Boot | Part::Bootstrap => work.root,
        Part::Application | Part::ApplicationOfImage => {
            let placed = enclave::application(work.root, command.as_ref());
            placed.map_err(tree_error("the application", Place::default()))?
        }
    };
    Ok(Assembly { kernel, cmdline, ucode, device_trees, tree: tree.finish(), warnings: work.warnings })
}

/// What is started in the application of an image, where the spec comes to one.
fn command(work: &Work<'_>) -> Result<Option<Command>, Error> {
    let image = work.spec.init.first().filter(|_| work.options.part == Part::ApplicationOfImage);
    let config = image.and_then(|image| Some((image, work.images.config(image)?)));
    config.map(|(image, config)| Command::of(image, config)).transpose()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Fault as _;
    use crate::rootfs::sample::{assemble_with, image, tree};

    const KERNEL: &[&str] = &["kernel=K", "kernel.tar=T", "u=U", "sub/k->../kernel"];

    fn assembled(text: &str) -> Result<Assembly, Error> {
        assemble_with(text, &|reference| image(reference, tree(KERNEL)))
    }

    #[test]
    fn the_kernel_image_gives_kernel_command_line_microcode_and_modules() {
        let all = assembled("kernel: {image: q.io/k, cmdline: a b, ucode: u}").unwrap();
        assert_eq!(all.kernel.unwrap().size(), 1);
        assert_eq!(all.ucode.unwrap().size(), 1);
        assert_eq!(all.cmdline.as_deref(), Some(&b"a b"[..]));
        assert!(all.tree.find(b"lib/modules/m").is_some() && all.tree.find(b"kernel").is_none());
        let least = assembled("kernel: {image: q.io/k, binary: sub/k, tar: none}").unwrap();
        assert!(least.kernel.is_some() && least.ucode.is_none() && least.cmdline.is_none());
        assert!(least.tree.find(b"lib").is_none());
    }

    #[test]
    fn a_file_that_the_kernel_image_lacks_is_told_with_its_place() {
        let rows = [
            ("kernel: {image: q.io/k, binary: x}", "image `q.io/k` has no file `x`", 33),
            ("kernel: {image: q.io/k, ucode: x}", "image `q.io/k` has no file `x`", 32),
            ("kernel: {image: q.io/k, tar: x}", "image `q.io/k` has no file `x`", 30),
        ];
        for (text, message, column) in rows {
            let error = assembled(text).err().unwrap();
            assert_eq!((error.to_string().as_str(), error.place().unwrap().column), (message, column));
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn a_file_overrides_what_the_kernel_image_gives() {
        let text = "kernel: {image: q.io/k, cmdline: a}\nfiles:\n- {path: boot/cmdline, contents: b}\n- {path: boot/x, contents: c}";
        let all = assembled(text).unwrap();
        assert_eq!(all.cmdline.as_deref(), Some(&b"b"[..]));
        assert!(all.tree.find(b"boot").is_some() && all.tree.find(b"boot/x").is_none());
    }

    #[test]
    fn problems_of_all_containers_and_files_are_told_together() {
        let image = |reference: &str| {
            let mut image = image(reference, tree(KERNEL));
            Arc::make_mut(&mut image.config)
                .labels
                .insert("org.mobyproject.config".to_owned(), "uid: nobody".to_owned());
            image
        };
        let text = "services: [{name: s, image: q.io/a}, {name: t, image: q.io/b}]";
        let Some(Error::Values { problems }) = assemble_with(text, &image).err() else { panic!("other error") };
        assert_eq!(problems.iter().map(|p| p.place.column).collect::<Vec<_>>(), [29, 55]);
    }
}
