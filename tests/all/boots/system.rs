//! The system that boots, mounted for each processor and kernel.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use lkit::base::{Digest, MIB};
use lkit::boot::{Kernel, KernelKind};
use lkit::extent::SharedSource;

use crate::common::artifact::{Noise, read, scratch, write};
use crate::common::layout::LayoutMaker;
use crate::common::qemu::{LIMIT, one_at_a_time, tail};
use crate::common::{self, images};

/// Tells what the guest finds: its files whole or not, its processor, its firmware, the type of its root.
const VERDICT: &str = "\
#!/bin/sh
sum=damaged firmware=BIOS
sha256sum -cs /etc/sums && sum=whole
[ -d /sys/firmware/efi ] && firmware=UEFI
echo \"verdict: $sum $(uname -m) $firmware $(awk '$2 == \"/\" { type = $3 } END { print type }' /proc/mounts)\"
";
const CMDLINE: &str = "console=ttyS0 console=ttyAMA0 panic=-1 quiet lkit.exec=/usr/bin/verdict lkit.poweroff";

/// The mounts, which end with this.
pub struct Mounts {
    dir: PathBuf,
    images: PathBuf,
    mounted: Vec<PathBuf>,
}

impl Mounts {
    /// Mounts the system with each kernel; `None` where an example image is missing.
    pub fn new(images: &Path) -> Option<Self> {
        let mut mounts = Self { dir: scratch("boots"), images: images.to_owned(), mounted: Vec::new() };
        let kernel = images::file(images, "linuxkit/kernel", "amd64", "kernel");
        let (arm64, root) = ("linuxkit/init", "linuxkit/rootdisk");
        let arm64 = images::file(images, arm64, "arm64", "bin/rc").zip(images::file(images, root, "amd64", "init"));
        let there = kernel.is_some() && arm64.is_some();
        if !common::skip_unless(there, "not all example images for amd64 and arm64; run tools/test") {
            return None;
        }
        mounts.write_specs();
        write_stubless(&mounts.dir.join("layout"), kernel?);
        mounts.mount("MNT", "boot.yml", "amd64", images);
        mounts.mount("OLD", "old/boot.yml", "amd64", images);
        mounts.mount("ARM", "boot.yml", "arm64", images);
        mounts.mount("ROOT", common::root().join("examples/rootdisk.yml").to_str()?, "amd64", images);
        for (name, file) in [("MNT", "BOOTX64.EFI"), ("OLD", "BOOTX64.EFI"), ("ARM", "BOOTAA64.EFI")] {
            let folder = mounts.dir.join(format!("ESP-{name}/EFI/BOOT"));
            fs::create_dir_all(&folder).unwrap();
            symlink(mounts.dir.join(name).join("boot.efi"), folder.join(file)).unwrap();
        }
        let folder = mounts.dir.join("UBOOT-ARM");
        fs::create_dir(&folder).unwrap();
        for (file, name) in [("boot.itb", "boot.itb"), ("boot-boot.scr", "boot.scr")] {
            symlink(mounts.dir.join("ARM").join(file), folder.join(name)).unwrap();
        }
        Some(mounts)
    }

    /// Where a boot may leave files.
    pub fn scratch(&self) -> &Path {
        &self.dir
    }

    /// The layout of the images.
    pub fn images(&self) -> &Path {
        &self.images
    }

    /// What stands for what in the arguments of a machine, longer names first.
    pub fn places(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let root = |device| format!("{CMDLINE} root=/dev/{device}");
        let names =
            ["UBOOT-ARM", "ESP-MNT", "ESP-OLD", "ESP-ARM", "MNT", "OLD", "ARM", "ROOT"].map(|name| (name, path(name)));
        let spec = [("IMAGES", self.images.display().to_string()), ("SPEC", path("boot.yml"))];
        let texts = [("CMDLINE=vda", root("vda")), ("CMDLINE=sr0", root("sr0")), ("CMDLINE", CMDLINE.to_owned())];
        texts.into_iter().chain(spec).chain(names).collect()
    }

    /// What the guest says that `lkit run` boots; where it fails or the time is over, what was seen.
    pub fn run(&self, arguments: &[String]) -> Result<String, String> {
        let mut command = Command::new("timeout");
        command.env("LKIT_CACHE", self.dir.join("cache")).stdin(Stdio::null());
        command.args([LIMIT, env!("CARGO_BIN_EXE_lkit"), "run", "--offline", "--accel", "tcg", "--cpus", "2"]);
        let _one = one_at_a_time();
        let output = command.args(arguments).output().unwrap();
        let console = String::from_utf8_lossy(&output.stdout).replace(['\r', '\u{1b}'], "");
        if output.status.success() {
            return Ok(console);
        }
        Err(format!("{command:?}: {}\n{}\n{}", output.status, common::stderr(&output), tail(&console)))
    }

    fn write_specs(&self) {
        let content: SharedSource = Arc::new(Noise(8 * MIB));
        write(&content, &self.dir.join("noise"));
        let sum = Digest::of(&read(&*content, 0, usize::try_from(8 * MIB).unwrap())).hex();
        fs::write(self.dir.join("sums"), format!("{sum}  /usr/share/noise\n")).unwrap();
        fs::write(self.dir.join("verdict"), VERDICT).unwrap();
        fs::create_dir(self.dir.join("old")).unwrap();
        for (path, kernel) in
            [("boot.yml", "linuxkit/kernel:example"), ("old/boot.yml", "test/stubless:1\n  tar: none")]
        {
            let file = |path: &str, source: &str, mode: &str| {
                let source = self.dir.join(source);
                format!("  - path: {path}\n    source: {}\n    mode: '{mode}'\n", source.display())
            };
            let files = file("usr/share/noise", "noise", "0644")
                + &file("etc/sums", "sums", "0644")
                + &file("usr/bin/verdict", "verdict", "0755");
            let kernel = format!("kernel:\n  image: {kernel}\n  cmdline: {CMDLINE}\n");
            let text = format!("{kernel}init:\n  - linuxkit/init:example\nfiles:\n{files}");
            fs::write(self.dir.join(path), text).unwrap();
        }
    }

    fn mount(&mut self, name: &str, spec: &str, arch: &str, images: &Path) {
        let dir = self.dir.join(name);
        fs::create_dir(&dir).unwrap();
        let mut command = common::lkit(&self.dir.join("cache"));
        command.current_dir(&self.dir).args(["mount", "--offline", "--arch", arch, "--layout", "layout", "--layout"]);
        let output = command.arg(images).arg(spec).arg(&dir).output().unwrap();
        common::stdout("lkit mount", &output);
        self.mounted.push(dir);
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for dir in &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(dir).stderr(Stdio::null()).status();
        }
    }
}

/// Whether mounts can be tried here.
pub fn can_mount() -> bool {
    let device = File::options().read(true).write(true).open("/dev/fuse");
    common::skip_unless(device.is_ok(), "no /dev/fuse that can be opened")
}

/// A layout with the kernel as it is without CONFIG_EFI_STUB: no PE header, no EFI handover.
fn write_stubless(dir: &Path, mut kernel: Vec<u8>) {
    kernel[..0x1f1].fill(0);
    kernel[0x236] &= !0b1100;
    assert_eq!(Kernel::inspect(&kernel[..Kernel::HEAD]).kind, KernelKind::BzImage);
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(kernel.len() as u64);
    tar.append_data(&mut header, "kernel", &*kernel).unwrap();
    let mut layout = LayoutMaker::new(dir);
    let image = layout.image("amd64", &[&tar.into_inner().unwrap()]);
    layout.name("docker.io/test/stubless:1", &image);
}
