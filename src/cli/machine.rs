//! Values of a machine as they are typed or kept: platform, memory, processors, disks, addresses.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::args;
use super::boot_disk::BootDisk;
use super::report::Failure;
use crate::base::{ErrorKind, GIB, MIB, Platform, SECTOR, command, parse_size};
use crate::blob::open_regular;
use crate::serve::check_target;
use crate::vm::{Ability, Accelerator, Disk, DiskFormat, Link, Mac, Monitor, Port, local};

/// Most memory and largest disk, in bytes: a VHDX holds no more, and what is larger is a mistake.
const LARGEST: u64 = 64 * 1024 * GIB;
/// Most processors; no machine of QEMU has more.
const MOST_CPUS: u32 = 4096;
/// The file in a state directory that has the address of the network card.
const MAC: &str = "mac-addr";
/// More than any address of a network card has, in bytes.
const LONGEST_MAC: u64 = 64;

/// The platform of `--arch`.
pub fn platform(arch: Option<&str>) -> Result<Platform, Failure> {
    let parse = |text: &str| text.parse().map_err(|error| Failure::usage(format!("--arch: {error}")));
    arch.map_or_else(|| Ok(Platform::host()), parse)
}

/// What a machine has besides what it starts from: checked before anything is fetched, mounted or made for it.
#[derive(Debug)]
pub struct Hardware {
    /// Memory in MiB.
    pub memory: u64,
    /// Number of processors.
    pub cpus: u32,
    /// What the network card is connected to.
    pub link: Link,
    /// Published ports.
    pub ports: Vec<Port>,
    /// The disk of the spec to start from.
    pub boot_disk: Option<BootDisk>,
    disks: Vec<WantedDisk>,
}

impl Hardware {
    /// What the arguments mean.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub fn parse(args: &args::Run, monitor: Monitor) -> Result<Self, Failure> {
        if args.accel != "auto" {
            args.accel.parse::<Accelerator>()?;
        }
        let link = match args.devices.networking.as_deref() {
            Some(text) => text.parse()?,
            None if monitor.can(Ability::OwnNetwork) || !args.publish.is_empty() => Link::Own,
            None => Link::None,
        };
        if link != Link::Own && !args.publish.is_empty() {
            return Err(Failure::usage("only a machine with `--networking user` publishes ports")
                .hint("leave out `--publish`, or `--networking`"));
        }
        let (mut boot_disk, mut disks) = (None, Vec::new());
        for (number, text) in args.disk.iter().enumerate() {
            match BootDisk::parse(&parts(text))? {
                None => {
                    disks.push(WantedDisk::parse(text, &Unnamed { state: args.state.as_deref(), monitor, number })?)
                }
                Some(disk) if boot_disk.replace(disk).is_some() => {
                    let failure = Failure::usage(format!("--disk: `{text}` is the second artifact to start from"));
                    return Err(failure.hint("a machine starts from one; give further disks as files"));
                }
                Some(_) => {}
            }
        }
        Ok(Self {
            link,
            memory: memory(&args.mem)?,
            cpus: cpus(args.cpus)?,
            ports: args.publish.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
            boot_disk,
            disks,
        })
    }

    /// The disks, whether they are there or not.
    pub fn disks(&self) -> Vec<Disk> {
        self.disks.iter().map(|wanted| wanted.disk.clone()).collect()
    }

    /// Looks whether the network is there, ports can be opened, and disks are there or can be made.
    ///
    /// # Errors
    /// When one cannot.
    pub fn check(&self) -> Result<(), Failure> {
        self.link.check()?;
        // All at once, so that one that is published twice is found, too.
        drop(self.ports.iter().map(Port::hold).collect::<Result<Vec<_>, _>>()?);
        self.disks.iter().try_for_each(WantedDisk::check)
    }

    /// Makes the disks that are missing.
    ///
    /// # Errors
    /// When one is missing and has no size, or cannot be made.
    pub fn make_disks(&self) -> Result<(), Failure> {
        self.disks.iter().try_for_each(WantedDisk::make)
    }
}

/// MiB of memory.
fn memory(text: &str) -> Result<u64, Failure> {
    let bytes = parse_size(text, MIB).filter(|bytes| (MIB..=LARGEST).contains(bytes));
    let wrong = || Failure::usage(format!("--mem: `{text}` is no amount of memory, such as `1024` (MiB) or `2G`"));
    bytes.map(|bytes| bytes / MIB).ok_or_else(wrong)
}

fn cpus(count: u32) -> Result<u32, Failure> {
    let wrong =
        || Failure::usage(format!("--cpus: `{count}` is no number of processors, which go from 1 to {MOST_CPUS}"));
    Some(count).filter(|count| (1..=MOST_CPUS).contains(count)).ok_or_else(wrong)
}

/// A disk of `--disk`, which may have to be made.
#[derive(Debug)]
struct WantedDisk {
    disk: Disk,
    /// Size in bytes to make it with when it is missing.
    size: Option<u64>,
    /// The state directory, where it is in there and this is to be made, too.
    state: Option<PathBuf>,
}

/// Where a disk without a file is.
struct Unnamed<'a> {
    state: Option<&'a Path>,
    monitor: Monitor,
    /// Its place among the disks.
    number: usize,
}

impl Unnamed<'_> {
    /// The name and the format that linuxkit gives it.
    fn disk(&self, format: Option<DiskFormat>) -> Result<Disk, Failure> {
        let Some(state) = self.state else {
            return Err(Failure::usage("--disk: there is no file, and no state directory to keep one in")
                .hint("write `file=PATH`, or name a directory with `--state DIR`"));
        };
        let (end, usual) =
            if self.monitor == Monitor::Qemu { ("img", DiskFormat::Qcow2) } else { ("raw", DiskFormat::Raw) };
        let number = if self.number == 0 { String::new() } else { self.number.to_string() };
        Ok(Disk { path: state.join(format!("disk{number}.{end}")), format: format.unwrap_or(usual) })
    }
}

impl WantedDisk {
    /// Reads `file=PATH,size=SIZE,format=FORMAT`, or a path alone; two commas stand for one in a path.
    fn parse(text: &str, unnamed: &Unnamed<'_>) -> Result<Self, Failure> {
        let (mut path, mut size, mut format) = (None, None, None);
        for part in parts(text) {
            let before = match part.split_once('=').unwrap_or(("file", &part)) {
                ("file", value) => path.replace(PathBuf::from(value)).is_some(),
                ("size", value) => size.replace(disk_size(value)?).is_some(),
                ("format", value) => format.replace(disk_format(value)?).is_some(),
                _ => return Err(Failure::usage(format!("--disk: `{part}` is not known")).hint(DISK)),
            };
            if before {
                return Err(Failure::usage(format!("--disk: `{part}` is the second of its kind")).hint(DISK));
            }
        }
        match path {
            Some(path) if !path.as_os_str().is_empty() => {
                let format = format.unwrap_or_else(|| DiskFormat::of_name(&path));
                Ok(Self { disk: Disk { path, format }, size, state: None })
            }
            None if size.is_some() => {
                Ok(Self { disk: unnamed.disk(format)?, size, state: unnamed.state.map(Path::to_owned) })
            }
            _ => Err(Failure::usage("--disk: there is no file").hint(DISK)),
        }
    }

    /// The size to make it with, when it is missing.
    fn missing(&self) -> Result<Option<u64>, Failure> {
        let path = &self.disk.path;
        match (fs::metadata(path), self.size) {
            (Ok(found), _) if found.is_dir() => {
                Err(Failure::usage(format!("--disk: `{}` is a directory", path.display())).hint(DISK))
            }
            (Ok(_), _) => Ok(None),
            (Err(error), Some(size)) if error.kind() == io::ErrorKind::NotFound => Ok(Some(size)),
            (Err(error), _) => {
                let failure = Failure::io(format!("cannot open disk `{}`", path.display()), &error);
                Err(match error.kind() {
                    io::ErrorKind::NotFound => failure.hint("it is made when it has a size, such as `size=1G`"),
                    _ => failure,
                })
            }
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let will_be_there = self.state.as_ref().is_some_and(|state| !state.exists());
        if self.missing()?.is_some() && !will_be_there {
            let path = &self.disk.path;
            let failure = |error| Failure::from(error).under(format!("cannot make disk `{}`", path.display()));
            check_target(path)
                .map_err(|error| failure(error).hint("name a place that is there and can be written to"))?;
        }
        Ok(())
    }

    fn make(&self) -> Result<(), Failure> {
        let Some(size) = self.missing()? else { return Ok(()) };
        if let Some(state) = &self.state {
            let cannot = |error| Failure::io(format!("cannot make directory `{}`", state.display()), &error);
            fs::create_dir_all(state).map_err(cannot)?;
        }
        make_disk(&self.disk, size)
    }
}

const DISK: &str = "write `file=PATH`, `size=SIZE` and `format=FORMAT`, with commas between them, and `,,` for a comma \
                    in the path";

/// What stands between single commas.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match parts.last_mut() {
            Some(part) if c != ',' || rest.next_if_eq(&',').is_some() => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts
}

fn disk_size(text: &str) -> Result<u64, Failure> {
    let size = parse_size(text, MIB).filter(|size| (SECTOR..=LARGEST).contains(size));
    let wrong = || format!("--disk: `{text}` is no size of a disk, such as `1024` (MiB) or `2G`, and at most `64T`");
    size.ok_or_else(|| Failure::usage(wrong()))
}

fn disk_format(text: &str) -> Result<DiskFormat, Failure> {
    text.parse().map_err(|error: crate::vm::Error| Failure::usage(format!("--disk: {error}")))
}

fn make_disk(disk: &Disk, bytes: u64) -> Result<(), Failure> {
    let path = local(&disk.path);
    let cannot = |error: io::Error| Failure::io(format!("cannot make disk `{}`", disk.path.display()), &error);
    if disk.format == DiskFormat::Raw {
        let sized = File::create_new(&path).map_err(cannot)?.set_len(bytes);
        return sized.or_else(|error| {
            // Else the next run would start with a disk of no size.
            fs::remove_file(&path).map_err(cannot)?;
            Err(cannot(error))
        });
    }
    let size = bytes.to_string();
    let status = command("qemu-img").args(["create", "-q", "-f", disk.format.name()]).arg(&path).arg(size).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(cannot(io::Error::other(format!("`qemu-img` ended with {status}")))),
        Err(error) => Err(cannot(error).hint("install `qemu-img` with `apt-get install qemu-utils`")),
    }
}

/// The address of the machine's network card, as LinuxKit keeps it in its state directory; none before the first run.
pub fn known_mac(state: &Path) -> Result<Option<Mac>, Failure> {
    let path = state.join(MAC);
    match open_regular(&path) {
        Ok(file) => read_mac(file, &path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(format!("cannot read `{}`", path.display()), &error)),
    }
}

/// The same address, made and kept when there is none yet.
pub fn kept_mac(state: &Path) -> Result<Mac, Failure> {
    if let Some(mac) = known_mac(state)? {
        return Ok(mac);
    }
    let path = state.join(MAC);
    let cannot = |error: io::Error| Failure::io(format!("cannot keep `{}`", path.display()), &error);
    let mut bytes = [0; 6];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).map_err(cannot)?;
    let mac = Mac::local(bytes);
    fs::create_dir_all(state).map_err(cannot)?;
    // In one step, so that a run that is ended meanwhile leaves no half of an address.
    let mut file = tempfile::NamedTempFile::new_in(state).map_err(cannot)?;
    write!(file, "{mac}").map_err(cannot)?;
    file.persist(&path).map_err(|error| cannot(error.error))?;
    Ok(mac)
}

fn read_mac(file: File, path: &Path) -> Result<Mac, Failure> {
    let mut text = Vec::new();
    let read = file.take(LONGEST_MAC).read_to_end(&mut text);
    read.map_err(|error| Failure::io(format!("cannot read `{}`", path.display()), &error))?;
    String::from_utf8_lossy(&text).trim().parse().map_err(|error: crate::vm::Error| {
        Failure::caused(ErrorKind::Corrupt, format!("`{}` is damaged", path.display()), &error)
            .hint("remove the file; the next run makes a new address")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, state: Option<&Path>, monitor: Monitor) -> Result<WantedDisk, Failure> {
        WantedDisk::parse(text, &Unnamed { state, monitor, number: 0 })
    }

    fn disk(text: &str) -> Result<Disk, Failure> {
        let wanted = parsed(text, None, Monitor::Qemu)?;
        wanted.make().map(|()| wanted.disk)
    }

    /// The first line of what a failure says.
    fn said(failure: &Failure) -> String {
        failure.rendered().lines().next().unwrap().trim_start_matches("error: ").to_owned()
    }

    #[test]
    fn a_disk_is_made_once_and_its_address_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let raw = Disk { path: path.clone(), format: DiskFormat::Raw };
        assert_eq!(disk(&format!("file={},size=1M", path.display())).unwrap(), raw);
        assert_eq!(fs::metadata(&path).unwrap().len(), MIB);
        assert_eq!(disk(path.to_str().unwrap()).unwrap(), raw);
        let state = dir.path().join("state");
        let mac = kept_mac(&state).unwrap();
        assert_eq!(kept_mac(&state).unwrap(), mac);
        assert_eq!(fs::read_to_string(state.join("mac-addr")).unwrap(), mac.to_string());
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
    }

    #[test]
    fn the_format_of_a_disk_is_told_and_never_read_from_what_a_guest_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        fs::write(&path, b"QFI\xfb\0\0\0\x03").unwrap();
        assert_eq!(disk(path.to_str().unwrap()).unwrap().format, DiskFormat::Raw);
        let told = disk(&format!("{},format=qcow2", path.display())).unwrap();
        assert_eq!(told, Disk { path, format: DiskFormat::Qcow2 });
    }

    #[test]
    fn two_commas_are_one_in_the_path_of_a_disk() {
        let wanted = parsed("file=a,,b=c,size=2", None, Monitor::Qemu).unwrap();
        assert_eq!((wanted.disk.path, wanted.size), (PathBuf::from("a,b=c"), Some(2 * MIB)));
        assert_eq!(parsed("a,,,,b", None, Monitor::Qemu).unwrap().disk.path, PathBuf::from("a,,b"));
    }

    #[test]
    fn a_disk_without_a_file_is_kept_in_the_state_directory_as_linuxkit_calls_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let rows = [
            ("size=1M", Monitor::Qemu, 0, "disk.img", DiskFormat::Qcow2),
            ("size=1M,format=raw", Monitor::Qemu, 2, "disk2.img", DiskFormat::Raw),
            ("size=1M", Monitor::Firecracker, 1, "disk1.raw", DiskFormat::Raw),
        ];
        for (text, monitor, number, name, format) in rows {
            let wanted = WantedDisk::parse(text, &Unnamed { state: Some(&state), monitor, number }).unwrap();
            assert_eq!(wanted.disk, Disk { path: state.join(name), format });
        }
        let wanted = parsed("size=1M,format=raw", Some(&state), Monitor::Qemu).unwrap();
        wanted.check().unwrap();
        assert!(!state.exists());
        wanted.make().unwrap();
        fs::write(state.join("disk.img"), "kept").unwrap();
        wanted.check().unwrap();
        wanted.make().unwrap();
        assert_eq!(fs::read_to_string(state.join("disk.img")).unwrap(), "kept");
    }

    #[test]
    fn disks_that_make_no_sense_are_refused_with_the_reason() {
        let size = |text: &str| {
            format!("--disk: `{text}` is no size of a disk, such as `1024` (MiB) or `2G`, and at most `64T`")
        };
        let rows = [
            ("size=1M", "--disk: there is no file, and no state directory to keep one in".to_owned()),
            ("format=raw", "--disk: there is no file".to_owned()),
            ("file=,size=1M", "--disk: there is no file".to_owned()),
            ("a=b", "--disk: `a=b` is not known".to_owned()),
            ("a,b", "--disk: `b` is the second of its kind".to_owned()),
            ("d,size=0", size("0")),
            ("d,size=1048576T", size("1048576T")),
            ("d,size=99999999999999999999", size("99999999999999999999")),
            ("d,size=-1", size("-1")),
            (
                "d,format=nbd",
                "--disk: `nbd` is no format of disks; there are raw, qcow2, vmdk, vhd, vhdx and vdi".to_owned(),
            ),
        ];
        for (text, message) in rows {
            assert_eq!(said(&parsed(text, None, Monitor::Qemu).unwrap_err()), message, "{text}");
        }
        assert_eq!(said(&disk("/nowhere/d").unwrap_err()), "cannot open disk `/nowhere/d`");
    }

    #[test]
    fn memory_and_processors_have_bounds() {
        let rows =
            [("1024", Some(1024)), ("2G", Some(2048)), ("1M", Some(1)), ("0", None), ("1023K", None), ("65T", None)];
        for (text, mib) in rows {
            assert_eq!(memory(text).ok(), mib, "{text}");
        }
        let bounds = [0, 1, MOST_CPUS, MOST_CPUS + 1].map(|count| cpus(count).is_ok());
        assert_eq!(bounds, [false, true, true, false]);
    }

    #[test]
    fn a_kept_address_that_is_damaged_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mac-addr");
        let long = "02:00:00:00:00:01".repeat(1 << 20);
        for text in ["", "02:00:00:00:00:01,romfile=/etc/x", "ff:ff:ff:ff:ff:ff", &long] {
            fs::write(&path, text).unwrap();
            let failure = kept_mac(dir.path()).unwrap_err();
            assert_eq!(
                (failure.kind, said(&failure)),
                (ErrorKind::Corrupt, format!("`{}` is damaged", path.display()))
            );
        }
        fs::write(&path, "02:00:00:00:00:0A\n").unwrap();
        assert_eq!(kept_mac(dir.path()).unwrap().to_string(), "02:00:00:00:00:0a");
    }
}
