//! What a machine can start from: files by the names that LinuxKit gives them.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::report::Failure;
use crate::base::{ErrorKind, KIB};
use crate::blob::open_regular;
use crate::boot::{Kernel, KernelKind, Machine};
use crate::output::{CMDLINE_SUFFIX, DiskFormat, Format, FormatFile, KERNEL_SUFFIX, PLAIN_NAMES, RootFs, Start};
use crate::spec::Spec;
use crate::vm::{Boot, Disk};

/// What a machine starts from.
pub struct Bootable {
    /// How it has it.
    pub boot: Boot,
    /// Whether its name promises UEFI.
    pub uefi: bool,
    /// GOARCH name of its processor, where a kernel tells.
    pub architecture: Option<&'static str>,
    /// Whether its files are shown by this process alone, for this machine.
    pub shown: bool,
}

/// What is wanted of the files there are.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// An ISO, rather than kernel and initrd.
    pub iso: bool,
    /// An initrd that finds the root.
    pub initrd: Option<&'a Path>,
    /// The root on a disk with this file system, rather than in an initrd.
    pub root: Option<RootFs>,
}

impl Bootable {
    /// What a spec will be in a mount on `dir`, by what it says itself: nothing is fetched to tell.
    ///
    /// # Errors
    /// When it has no kernel.
    pub fn of_spec(spec: &Spec, name: &str, dir: &Path, wish: Wish<'_>) -> Result<Self, Failure> {
        let kernel = spec.kernel.as_ref().filter(|kernel| !kernel.image.value.is_empty());
        let missing = || Failure::new(ErrorKind::Unsupported, "the spec has no kernel to start");
        let kernel = kernel.ok_or_else(|| missing().hint("add a `kernel` section to the spec"))?;
        let boot = if wish.iso {
            Boot::Cdrom(dir.join(format!("{name}.iso")))
        } else {
            let cmdline = kernel.cmdline.trim_end_matches('\n').to_owned();
            let (initrd, root) = match wish.root {
                None => (dir.join("initrd.img"), None),
                Some(root) => of_root(&dir.join(name).to_string_lossy(), root),
            };
            Boot::Direct { kernel: dir.join("kernel"), initrd: Some(initrd), cmdline, root }
        };
        Ok(Self { boot, uefi: false, architecture: None, shown: true })
    }

    /// What is in a mount, or where its files were copied to.
    ///
    /// # Errors
    /// When a part is missing.
    pub fn in_directory(dir: &Path, wish: Wish<'_>) -> Result<Self, Failure> {
        let [kernel, initrd, cmdline] = PLAIN_NAMES.map(|name| dir.join(name));
        let architecture = architecture(&kernel);
        if wish.iso {
            let boot = Boot::Cdrom(shortest_iso(dir).ok_or_else(|| no_iso(dir))?);
            return Ok(Self { boot, uefi: false, architecture, shown: false });
        }
        let (initrd, root) = match wish.root {
            None => (initrd, None),
            Some(root) => of_root(&prefix_of_root(dir, root)?, root),
        };
        for part in [&kernel, &initrd] {
            needed(part).map_err(|failure| failure.hint("name a file in the directory, or the prefix of its files"))?;
        }
        let boot = Boot::Direct { kernel, initrd: Some(initrd), cmdline: read_cmdline(&cmdline)?, root };
        Ok(Self { boot, uefi: false, architecture, shown: false })
    }

    /// A file of a known name, or the files of a prefix; nothing where neither is there.
    ///
    /// # Errors
    /// When the file does not start by itself, or a file that it needs is missing.
    pub fn named(name: &Path, wish: Wish<'_>) -> Result<Option<Self>, Failure> {
        let found = Self::found(name, wish)?;
        if found.is_some() && wish.root.is_some() {
            return Err(Failure::usage("`--root` is for specs and mounted directories")
                .hint("name the disk with the root, such as `N-squashfs.img`, without `--root`"));
        }
        Ok(found)
    }

    fn found(name: &Path, wish: Wish<'_>) -> Result<Option<Self>, Failure> {
        let Some(text) = name.to_str() else { return Ok(None) };
        if !name.is_file() {
            return Self::of_prefix(text, wish);
        }
        let files = Format::mounted_files().into_iter();
        let named = files.filter_map(|file| Some((file, text.strip_suffix(file.suffix)?)));
        match named.max_by_key(|(file, _)| file.suffix.len()) {
            Some((FormatFile { start: None, .. }, _)) => Err(lifeless(name)),
            Some((file @ FormatFile { start: Some(start), .. }, prefix)) => {
                Self::of_file((file, *start), prefix, wish).map(Some)
            }
            None => Ok(None),
        }
    }

    fn of_prefix(prefix: &str, wish: Wish<'_>) -> Result<Option<Self>, Failure> {
        let has_kernel = part(prefix, KERNEL_SUFFIX).is_file();
        let is_meant = |start: Start| match start {
            Start::Cd => true,
            Start::Initrd | Start::Root => has_kernel && !wish.iso,
            Start::Disk(_) | Start::Program => !wish.iso,
        };
        let mut files = FormatFile::that_start().into_iter();
        match files.find(|(file, start)| part(prefix, file.suffix).is_file() && is_meant(*start)) {
            Some(file) => Self::of_file(file, prefix, wish).map(Some),
            None if has_kernel && wish.iso => Err(no_iso(Path::new(prefix))),
            None => Ok(None),
        }
    }

    fn of_file(
        (FormatFile { suffix, uefi, .. }, start): (&FormatFile, Start),
        prefix: &str,
        wish: Wish<'_>,
    ) -> Result<Self, Failure> {
        let (file, kernel) = (part(prefix, suffix), part(prefix, KERNEL_SUFFIX));
        let architecture = architecture(if start == Start::Program { &file } else { &kernel });
        let own = || suffix.strip_suffix(".img").map(|suffix| part(prefix, &format!("{suffix}-initrd.img")));
        let initrd = || wish.initrd.map(Path::to_owned).or_else(|| own().filter(|initrd| initrd.is_file()));
        let boot = match start {
            Start::Initrd => with_kernel(prefix, Some(file), None)?,
            Start::Root => with_kernel(prefix, initrd(), Some(file))?,
            // The root of `kernel+iso` has the name of an ISO that starts.
            Start::Cd if !has_boot_record(&file) => with_kernel(prefix, initrd(), Some(file))?,
            Start::Cd => Boot::Cdrom(file),
            Start::Disk(format) => Boot::Disk(Disk { path: file, format }),
            Start::Program => Boot::Direct { kernel: file, initrd: None, cmdline: String::new(), root: None },
        };
        Ok(Self { boot, uefi: *uefi, architecture, shown: false })
    }
}

fn part(prefix: &str, suffix: &str) -> PathBuf {
    format!("{prefix}{suffix}").into()
}

/// The kernel of a prefix, with what it starts from: its initrd, or a root.
fn with_kernel(prefix: &str, initrd: Option<PathBuf>, root: Option<PathBuf>) -> Result<Boot, Failure> {
    let kernel = part(prefix, KERNEL_SUFFIX);
    needed(&kernel)?;
    let mut cmdline = read_cmdline(&part(prefix, CMDLINE_SUFFIX))?;
    if root.is_some() && !cmdline.split_whitespace().any(|word| word.starts_with("root=")) {
        cmdline = format!("{cmdline} root=/dev/vda").trim_start().to_owned();
    }
    let root = root.map(|path| Disk { path, format: DiskFormat::Raw });
    Ok(Boot::Direct { kernel, initrd, cmdline, root })
}

/// The files of a prefix that start from a disk: the initrd, and the disk with the root.
fn of_root(prefix: &str, root: RootFs) -> (PathBuf, Option<Disk>) {
    let disk = Disk { path: part(prefix, root.disk_suffix()), format: DiskFormat::Raw };
    (part(prefix, root.initrd_suffix()), Some(disk))
}

/// What the names of the files in a mount begin with that has an initrd for a root on a disk.
fn prefix_of_root(dir: &Path, root: RootFs) -> Result<String, Failure> {
    let names = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut prefixes = names.filter_map(|path| Some(path.to_str()?.strip_suffix(root.initrd_suffix())?.to_owned()));
    prefixes.next().ok_or_else(|| {
        let message = format!("`{}` has no initrd that starts from a disk with {}", dir.display(), root.name());
        Failure::usage(message).hint(format!("mount it with `lkit mount --root {} SPEC DIR`", root.name()))
    })
}

fn needed(part: &Path) -> Result<(), Failure> {
    let there = fs::metadata(part);
    there.map(drop).map_err(|error| Failure::io(format!("cannot start `{}`", part.display()), &error))
}

/// Longest command line in bytes; the kernels of all architectures take fewer.
const LONGEST_CMDLINE: u64 = 64 * KIB;

/// The command line in a file, which may not be there.
fn read_cmdline(path: &Path) -> Result<String, Failure> {
    let mut text = Vec::new();
    match open_regular(path).and_then(|file| file.take(LONGEST_CMDLINE + 1).read_to_end(&mut text)) {
        Ok(read) if read as u64 > LONGEST_CMDLINE => {
            let message =
                format!("the kernel command line in `{}` is over {} KiB", path.display(), LONGEST_CMDLINE / KIB);
            Err(Failure::new(ErrorKind::Unsupported, message))
        }
        Ok(_) => Ok(String::from_utf8_lossy(&text).trim_end_matches('\n').to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::io(format!("cannot read `{}`", path.display()), &error)),
    }
}

/// The plain name is the shortest: the others have a word more.
fn shortest_iso(dir: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let isos = names.filter(|path| path.extension().is_some_and(|extension| extension == "iso"));
    isos.min_by_key(|path| (path.as_os_str().len(), path.clone()))
}

/// The processor that a kernel, or another EFI program, is for; nothing where it cannot be read or tells nothing.
fn architecture(kernel: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    open_regular(kernel).ok()?.take(Kernel::HEAD as u64).read_to_end(&mut head).ok()?;
    match Kernel::inspect(&head).kind {
        KernelKind::Efi { machine: Machine::X64, .. } | KernelKind::BzImage => Some("amd64"),
        KernelKind::Efi { machine: Machine::Arm64, .. } => Some("arm64"),
        KernelKind::Gzip | KernelKind::Unknown => None,
    }
}

/// Whether an ISO has El Torito's boot record volume descriptor (El Torito 1.0, figure 7), in block 17.
fn has_boot_record(iso: &Path) -> bool {
    let mut record = [0; 30];
    let read = open_regular(iso).and_then(|file| file.read_exact_at(&mut record, 17 * 2048));
    read.is_ok() && record.starts_with(b"\0CD001\x01EL TORITO SPECIFICATION")
}

fn no_iso(place: &Path) -> Failure {
    Failure::usage(format!("there is no ISO at `{}`", place.display())).hint("start without `--iso`")
}

fn lifeless(file: &Path) -> Failure {
    Failure::usage(format!("`{}` does not start by itself", file.display()))
        .hint("name a disk, an ISO, an initrd, or the prefix of its files")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files, and the path of the prefix `x` in it.
    fn files(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let mut content = vec![0; 17 * 2048];
            if name.ends_with("efi.iso") {
                content.extend_from_slice(b"\0CD001\x01EL TORITO SPECIFICATION");
            }
            fs::write(dir.path().join(name), if name.ends_with("cmdline") { b"a=b\n".to_vec() } else { content })
                .unwrap();
        }
        let prefix = dir.path().join("x");
        (dir, prefix)
    }

    const PLAIN: Wish<'_> = Wish { iso: false, initrd: None, root: None };

    fn raw(prefix: &Path, suffix: &str) -> Disk {
        Disk { path: part(prefix.to_str().unwrap(), suffix), format: DiskFormat::Raw }
    }

    fn found(name: &Path, wish: Wish<'_>) -> Option<Boot> {
        Bootable::named(name, wish).unwrap().map(|bootable| bootable.boot)
    }

    #[test]
    fn a_prefix_is_its_kernel_before_its_media() {
        let all = ["x-kernel", "x-initrd.img", "x-cmdline", "x-squashfs.img", "x-efi.iso", "x-bios.img"];
        let (_dir, prefix) = files(&all);
        let at = |suffix| part(prefix.to_str().unwrap(), suffix);
        let direct = |initrd, cmdline: &str, root| {
            Some(Boot::Direct { kernel: at("-kernel"), initrd, cmdline: cmdline.to_owned(), root })
        };
        assert_eq!(found(&prefix, PLAIN), direct(Some(at("-initrd.img")), "a=b", None));
        assert_eq!(found(&prefix, Wish { iso: true, ..PLAIN }), Some(Boot::Cdrom(at("-efi.iso"))));
        fs::remove_file(at("-initrd.img")).unwrap();
        let root = Some(raw(&prefix, "-squashfs.img"));
        assert_eq!(found(&prefix, PLAIN), direct(None, "a=b root=/dev/vda", root.clone()));
        fs::write(at("-cmdline"), "root=/dev/sr0").unwrap();
        let wish = Wish { initrd: Some(Path::new("/i")), ..PLAIN };
        assert_eq!(found(&at("-squashfs.img"), wish), direct(Some("/i".into()), "root=/dev/sr0", root));
        fs::remove_file(at("-kernel")).unwrap();
        assert_eq!(found(&prefix, PLAIN), Some(Boot::Cdrom(at("-efi.iso"))));
        assert!(Bootable::named(&at("-squashfs.img"), PLAIN).is_err());
    }

    #[test]
    fn an_iso_that_does_not_start_is_the_root_of_the_kernel_beside_it() {
        let (_dir, prefix) = files(&["x-kernel", "x.iso"]);
        let kernel = part(prefix.to_str().unwrap(), "-kernel");
        let root = Some(raw(&prefix, ".iso"));
        let boot = Boot::Direct { kernel, initrd: None, cmdline: "root=/dev/vda".to_owned(), root };
        assert_eq!(found(&prefix, PLAIN), Some(boot));
    }

    #[test]
    fn a_command_line_has_a_bound() {
        let (_dir, prefix) = files(&["x-kernel", "x-initrd.img"]);
        let cmdline = part(prefix.to_str().unwrap(), "-cmdline");
        fs::write(&cmdline, vec![b'a'; 64 << 10]).unwrap();
        assert!(found(&prefix, PLAIN).is_some());
        fs::write(&cmdline, vec![b'a'; (64 << 10) + 1]).unwrap();
        let failure = Bootable::named(&prefix, PLAIN).err().unwrap();
        let said = format!("error: the kernel command line in `{}` is over 64 KiB\n", cmdline.display());
        assert_eq!(failure.rendered(), said);
    }

    #[test]
    fn each_disk_has_its_format_and_its_firmware() {
        let rows = [
            ("x-bios.img", DiskFormat::Raw, false),
            ("x-efi.img", DiskFormat::Raw, true),
            ("x.raw", DiskFormat::Raw, false),
            ("x.qcow2", DiskFormat::Qcow2, false),
            ("x-efi.qcow2", DiskFormat::Qcow2, true),
            ("x.vmdk", DiskFormat::Vmdk, false),
            ("x.vhd", DiskFormat::Vhd, false),
            ("x-dynamic.vhd", DiskFormat::Vhd, false),
            ("x.vhdx", DiskFormat::Vhdx, false),
        ];
        for (name, format, uefi) in rows {
            let (dir, _) = files(&[name]);
            let path = dir.path().join(name);
            let bootable = Bootable::named(&path, PLAIN).unwrap().unwrap();
            let disk = Disk { path, format };
            assert_eq!((bootable.boot, bootable.uefi), (Boot::Disk(disk), uefi), "{name}");
        }
    }

    #[test]
    fn what_does_not_start_is_told_and_what_is_no_artifact_is_a_spec() {
        let (dir, prefix) = files(&["x.tar", "x.img.tar.gz", "x.yml", "x-kernel"]);
        for name in ["x.tar", "x.img.tar.gz", "x-kernel"] {
            assert!(Bootable::named(&dir.path().join(name), PLAIN).is_err(), "{name}");
        }
        assert_eq!(found(&dir.path().join("x.yml"), PLAIN), None);
        assert_eq!(found(&prefix, PLAIN), None);
        assert!(Bootable::named(&prefix, Wish { iso: true, ..PLAIN }).is_err());
    }
}
