//! What U-Boot starts on boards with arm64 processors: a FIT image, and the script that starts it.
//!
//! # Format
//! U-Boot's `doc/usage/cmd/bootm.rst` and `doc/develop/distro.rst`: a board looks for `boot.scr` on its disks, and says in
//! `devtype`, `devnum`, `distro_bootpart` and `prefix` where it found it.

use std::sync::Arc;

use super::media::{self, unpacked};
use super::{Obstacle, System};
use crate::boot;
use crate::extent::{Bytes, SharedSource};
use crate::format::{Fit, LegacyKind, legacy_image};

/// What the name of a FIT image ends in.
pub const FIT_SUFFIX: &str = ".itb";

/// What the artifacts for boards hold that the other ones do not.
#[derive(Clone, Default)]
pub struct Board {
    /// Device trees by name; the first is the one that counts where a board does not say which is its own.
    pub trees: Vec<(String, SharedSource)>,
    /// Files that a Raspberry Pi starts before U-Boot, and U-Boot, by name.
    pub firmware: Vec<(String, SharedSource)>,
}

/// The kernel as U-Boot starts it, an uncompressed `Image`.
///
/// # Errors
/// When there is none, it is of another kind, or its head cannot be read.
fn kernel(system: &System) -> Result<SharedSource, Obstacle> {
    let (kernel, head) = unpacked(system)?;
    if head.image { Ok(kernel) } else { Err(boot::Error::NotForUBoot.into()) }
}

/// The kernel as it is stored, and whether U-Boot has to decompress it.
///
/// # Errors
/// As [`kernel`].
pub fn kernel_as_stored(system: &System) -> Result<(SharedSource, bool), Obstacle> {
    let plain = kernel(system)?;
    match &system.kernel {
        Some(packed) if media::is_packed(system) => Ok((packed.clone(), true)),
        _ => Ok((plain, false)),
    }
}

/// The FIT image of a system.
///
/// # Errors
/// When there is no kernel that U-Boot starts, or the parts are too large.
pub fn fit(name: &str, system: &System, board: &Board, initrd: SharedSource) -> Result<SharedSource, Obstacle> {
    let kernel = kernel(system)?;
    let trees: Vec<_> = board.trees.iter().map(|(name, tree)| (node_name(name), tree.clone())).collect();
    Ok(Fit { description: name, kernel, initrd, trees: &trees }.layout()?)
}

/// A name as a node of a device tree may have it (Devicetree Specification 0.4, table 2.1).
fn node_name(name: &str) -> String {
    let is_good = |c: char| c.is_ascii_alphanumeric() || ",._+-".contains(c);
    name.chars().map(|c| if is_good(c) { c } else { '_' }).collect()
}

/// The script that starts the FIT image, which is beside it.
///
/// # Errors
/// When there is nothing for it to start, or it is too large.
pub fn boot_script(name: &str, system: &System, board: &Board) -> Result<SharedSource, Obstacle> {
    kernel(system)?;
    let text = commands(name, system.cmdline.as_deref().unwrap_or_default(), board);
    let text: SharedSource = Arc::new(Bytes(text.into()));
    Ok(legacy_image(LegacyKind::Script, name, &text)?)
}

/// The commands of that script. All is loaded where an initrd would be, since the kernel goes to the start of memory, where
/// QEMU has its device tree, too; that of `fdtcontroladdr` is a copy.
fn commands(name: &str, cmdline: &[u8], board: &Board) -> Vec<u8> {
    const OWN: &str = "bootm ${ramdisk_addr_r}#conf-1 ${ramdisk_addr_r}#conf-1 ${fdtcontroladdr}\n";
    let load = "load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} ${prefix}";
    let file = quoted(format!("{name}{FIT_SUFFIX}").as_bytes());
    // By its name: without one, U-Boot may look for what its own device tree is compatible with, and finds nothing.
    let start = match board.trees.first() {
        None => OWN.to_owned(),
        Some((tree, _)) => format!(
            "if test -z \"${{fit_tree}}\"; then setenv fit_tree {}; fi\nbootm ${{ramdisk_addr_r}}#conf-${{fit_tree}}\n",
            node_name(tree)
        ),
    };
    let lines = [b"setenv bootargs ", &quoted(cmdline)[..], b"\n", load.as_bytes(), &file, b"\n"];
    [&lines.concat(), start.as_bytes()].concat()
}

/// Text as one word of U-Boot's shell, which takes what is between single quotes as it is.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    let word = text.iter().flat_map(|byte| match byte {
        b'\'' => b"'\\''".as_slice(),
        b'\n' => b" ",
        byte => std::slice::from_ref(byte),
    });
    [b"'", word.copied().collect::<Vec<_>>().as_slice(), b"'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_the_command_line_as_it_is_and_which_device_tree_counts() {
        let board = |names: &[&str]| {
            let tree = |name: &&str| ((*name).to_owned(), Arc::new(Bytes(b"T".as_slice().into())) as SharedSource);
            Board { trees: names.iter().map(tree).collect(), firmware: Vec::new() }
        };
        let text = |board: &Board| String::from_utf8(commands("a b", b"x='y' $z\n; q", board)).unwrap();
        let own = text(&board(&[]));
        assert!(own.starts_with("setenv bootargs 'x='\\''y'\\'' $z ; q'\n"), "{own}");
        assert!(own.contains("${ramdisk_addr_r} ${prefix}'a b.itb'\n") && own.contains("${fdtcontroladdr}"), "{own}");
        let given = text(&board(&["v/a.dtb", "b.dtb"]));
        let end = "then setenv fit_tree v_a.dtb; fi\nbootm ${ramdisk_addr_r}#conf-${fit_tree}\n";
        assert!(given.ends_with(end), "{given}");
        assert_eq!(node_name("vendor/a b.dtb"), "vendor_a_b.dtb");
    }
}
