//! `lkit run`: boots a spec, a mounted directory or files in a virtual machine.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::base::{Digest, ErrorKind, is_url};
use crate::cli::boot_disk::{BootDisk, Way};
use crate::cli::bootable::{Bootable, Wish};
use crate::cli::log::Loudness;
use crate::cli::machine::{self, Hardware};
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, specs};
use crate::output::{Catalog, RootFs};
use crate::serve::{
    Door, DoorRules, Exports, Files, Generation, MountOptions, Serving, TemporaryMountPoint, check_mount, mount, sweep,
};
use crate::system;
use crate::vm::{
    Accelerator, Boot, CommandLine, EndSignals, Firmware, HyperKit, Mac, Machine, Network, Qemu, hyperkit, local, qemu,
    run as run_machine, shell_line,
};

/// The monitors there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Monitor {
    Qemu,
    HyperKit,
}

/// What is run, and whether it is slow.
struct Prepared {
    line: CommandLine,
    is_emulated: bool,
}

/// A machine as it is asked for, apart from what it starts from.
struct Wanted {
    args: args::Run,
    hardware: Hardware,
    monitor: Monitor,
    loudness: Loudness,
}

/// Boots what was named, and leaves nothing behind.
pub fn run(mut args: args::Run, loudness: Loudness) -> Result<ExitCode, Failure> {
    let monitor = monitor(&mut args.what)?;
    let hardware = Hardware::parse(&args)?;
    if !args.dry_run {
        sweep();
    }
    let what = args.what.clone();
    let wish = Wish { iso: args.iso, initrd: args.initrd.as_deref(), root: args.root.map(RootFs::from) };
    let found = match what.as_slice() {
        [] => return Err(Failure::usage("a spec, a directory, a file or a prefix is needed")),
        [dir] if dir.is_dir() => Some(Bootable::in_directory(dir, wish)?),
        [name] => Bootable::named(name, wish)?,
        _ => None,
    };
    let wanted = Wanted { args, hardware, monitor, loudness };
    match found {
        Some(_) if wanted.hardware.boot_disk.is_some() => {
            let message = "`--disk artifact=` is for specs: who mounts a directory shows its disks in it";
            return Err(Failure::usage(message).hint("name the disk, such as `DIR/NAME-efi.img`"));
        }
        Some(_) if !wanted.args.reads.is_empty() => {
            let message = "`--record` and `--reads` are for specs: who mounts a directory reads for it";
            return Err(Failure::usage(message).hint("give them to `lkit mount`, or name the spec"));
        }
        Some(bootable) => wanted.start(bootable, EndSignals::catch()?)?,
        None => run_specs(&what, wanted)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Places that linuxkit runs machines in and lkit does not, with the format they take.
const ELSEWHERE: [(&str, &str); 12] = [
    ("aws", "aws"),
    ("azure", "vhd"),
    ("equinixmetal", "kernel+initrd"),
    ("gcp", "gcp"),
    ("hyperv", "vhdx"),
    ("openstack", "qcow2-bios"),
    ("packet", "kernel+initrd"),
    ("scaleway", "qcow2-efi"),
    ("vbox", "iso-bios"),
    ("vcenter", "vmdk"),
    ("virtualization", "kernel+initrd"),
    ("vmware", "vmdk"),
];

/// Takes the monitor's name away, when it stands in front.
///
/// # Errors
/// When it names a place that lkit runs no machines in.
fn monitor(what: &mut Vec<PathBuf>) -> Result<Monitor, Failure> {
    let elsewhere = ELSEWHERE.iter().find(|(place, _)| what.first().is_some_and(|first| first.as_os_str() == *place));
    if let Some((place, format)) = elsewhere.filter(|(place, _)| !Path::new(place).exists()) {
        let message = format!("lkit runs machines with QEMU and HyperKit, not with `{place}`");
        return Err(Failure::usage(message).hint(format!("write what it takes with `lkit build -f {format}`")));
    }
    let named = match what.first().and_then(|first| first.to_str()) {
        Some("qemu") => Some(Monitor::Qemu),
        Some("hyperkit") => Some(Monitor::HyperKit),
        _ => None,
    };
    if named.is_some() && what.len() > 1 {
        what.remove(0);
    }
    Ok(named.unwrap_or(if cfg!(target_os = "macos") { Monitor::HyperKit } else { Monitor::Qemu }))
}

/// Where Debian's packages put UEFI firmware for an architecture, and the package.
pub fn usual_firmware(architecture: &str) -> (&'static str, &'static str) {
    match architecture {
        "arm64" => ("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "qemu-efi-aarch64"),
        _ => ("/usr/share/ovmf/OVMF.fd", "ovmf"),
    }
}

/// The firmware to start by; where Debian's packages put it, unless another is named.
fn firmware(args: &args::Run, bootable: &Bootable, architecture: &str) -> Result<Firmware, Failure> {
    let (usual, package) = usual_firmware(architecture);
    let is_direct = matches!(bootable.boot, Boot::Direct { .. });
    let needed = args.uefi || args.fw.is_some() || bootable.uefi || (architecture == "arm64" && !is_direct);
    let path = args.fw.clone().unwrap_or_else(|| usual.into());
    match needed {
        false => Ok(Firmware::Own),
        true if args.dry_run || path.is_file() => Ok(Firmware::Uefi(path)),
        true => Err(Failure::new(ErrorKind::Io, format!("there is no UEFI firmware at `{}`", path.display()))
            .hint(format!("install it with `apt-get install {package}`, or name one with `--fw`"))),
    }
}

/// Mounts specs on a directory of its own for as long as the machine runs. What cannot work is refused before anything
/// is fetched.
fn run_specs(specs: &[PathBuf], mut wanted: Wanted) -> Result<(), Failure> {
    if wanted.args.initrd.is_some() {
        let message = "`--initrd` is for a root such as `N-squashfs.img`: the initrd of a spec is made of the spec";
        return Err(Failure::usage(message).hint("leave out `--initrd`"));
    }
    let sources = std::mem::take(&mut wanted.args.sources);
    wanted.args.sources.arch.clone_from(&sources.arch);
    let mut words = sources.words();
    let root = wanted.args.root.map(RootFs::from);
    words.extend(root.map(|root| format!("--root={}", root.name()).into()));
    words.extend(wanted.args.reads.words());
    let mut settings = Settings::new(sources)?.with_root(wanted.args.root);
    let recording = wanted.args.reads.apply(&mut settings)?;
    let inputs = specs::inputs(specs);
    let name = settings.name(&inputs);
    let progress = Progress::new(wanted.loudness);
    let parsed = system::parse(&inputs, &progress)?;
    let wish = Wish { iso: wanted.args.iso, initrd: None, root };
    let disk = wanted.boot_disk()?;
    let is_served = disk.is_some_and(|disk| disk.way == Way::VhostUser);
    let later = Path::new(".").join(format!("{name}.{}", if is_served { "sock" } else { "mnt" }));
    let bootable = Bootable::of_spec(&parsed.spec, &name, &later, wish)?;
    let bootable = disk.map_or(bootable, |disk| disk.bootable(&later, &name));
    // What a machine keeps is made and read when it starts.
    let mac = if wanted.args.dry_run { wanted.mac()? } else { None };
    let Prepared { line, .. } = wanted.prepared(bootable, mac)?;
    if wanted.args.dry_run {
        return match disk.filter(|_| is_served) {
            Some(disk) => print_server_steps(specs, &words, (&later, &disk.artifact(&name)), &line),
            None => print_steps(specs, &words, &later, &line),
        };
    }
    wanted.check(&line)?;
    if !is_served {
        check_mount(MountOptions::default())?;
    }
    let loaded = specs::load_parsed(parsed, &inputs, &settings, &progress)?;
    loaded.catalog.check_root_disk()?;
    // Before the mount, which a signal between it and the machine would leave behind.
    let signals = EndSignals::catch()?;
    if let Some(disk) = disk.filter(|_| is_served) {
        wanted.start_served(disk, &loaded.catalog, signals)?;
        return recording.finish();
    }
    let dir = TemporaryMountPoint::new()?;
    let session =
        mount(Files::of(&loaded.catalog).with_counts(loaded.layers.clone()), dir.path(), MountOptions::default())?;
    let bootable = match disk {
        Some(disk) => Ok(disk.bootable(dir.path(), &name)),
        None => Bootable::in_directory(dir.path(), wish),
    };
    let result = bootable.and_then(|bootable| wanted.start(bootable, signals));
    session.unmount()?;
    recording.finish()?;
    result
}

/// `lkit COMMAND` for these specs, with these options.
fn words_of(command: &str, options: &[OsString], specs: &[PathBuf]) -> Vec<OsString> {
    let is_file = |spec: &Path| spec != Path::new("-") && !is_url(&spec.to_string_lossy());
    let specs = specs.iter().map(|spec| if is_file(spec) { local(spec) } else { spec.clone() }.into_os_string());
    ["lkit", command].map(OsString::from).into_iter().chain(options.iter().cloned()).chain(specs).collect()
}

/// Prints the same as [`print_steps`] for a machine whose disk is an artifact behind a socket.
fn print_server_steps(
    specs: &[PathBuf],
    options: &[OsString],
    (socket, artifact): (&Path, &str),
    line: &CommandLine,
) -> Result<(), Failure> {
    let mut disk = socket.as_os_str().to_owned();
    disk.push(format!("={artifact}"));
    let options = [&["--vhost-user".into(), disk], options].concat();
    let server = shell_line(words_of("serve", &options, specs));
    let socket = shell_line([socket]);
    report::print(&format!("{server} & server=$!\nuntil [ -S {socket} ]; do sleep 0.1; done\n{line}\nkill $server\n"))
}

/// Prints what to type to do by hand what is done for specs: a shell that is given these lines does it.
fn print_steps(specs: &[PathBuf], options: &[OsString], dir: &Path, line: &CommandLine) -> Result<(), Failure> {
    let mount = words_of("mount", options, specs).into_iter();
    let [make, mount, end] = [
        shell_line(["mkdir", "-p"].map(OsStr::new).into_iter().chain([dir.as_os_str()])),
        shell_line(mount.chain([dir.into()])),
        shell_line(["lkit", "umount"].map(OsStr::new).into_iter().chain([dir.as_os_str()])),
    ];
    report::print(&format!("{make}\n{mount}\n{line}\n{end}\n"))
}

impl Wanted {
    /// The disk of the spec to start from, where one is named.
    fn boot_disk(&self) -> Result<Option<BootDisk>, Failure> {
        let Some(disk) = self.hardware.boot_disk else { return Ok(None) };
        if self.args.iso || self.args.root.is_some() {
            let message = "`--disk artifact=`, `--iso` and `--root` each say what the machine starts from";
            return Err(Failure::usage(message).hint("leave out all but one"));
        }
        if disk.way == Way::VhostUser && self.monitor == Monitor::HyperKit {
            return Err(
                Failure::usage("HyperKit has no disks by vhost-user").hint("start it without `--disk artifact=`")
            );
        }
        Ok(Some(disk))
    }

    /// Starts the machine from an artifact that this process serves, for as long as the machine runs.
    fn start_served(&self, disk: BootDisk, catalog: &Catalog, signals: EndSignals) -> Result<(), Failure> {
        let dir = tempfile::Builder::new().prefix("lkit-run-").tempdir();
        let dir = dir.map_err(|error| Failure::io("cannot make a directory for a socket", &error))?;
        let socket = dir.path().join("disk.sock");
        let door = Door::vhost_user(&socket, &disk.artifact(catalog.name()))?;
        let serving = Serving::start(vec![door], &Exports::new(Generation::of(catalog)), &DoorRules::default())?;
        let result = self.start(disk.bootable(&socket, catalog.name()), signals);
        drop(serving);
        result
    }

    fn start(&self, bootable: Bootable, signals: EndSignals) -> Result<(), Failure> {
        let Prepared { line, is_emulated } = self.prepared(bootable, self.mac()?)?;
        if self.args.dry_run {
            return report::print(&format!("{line}\n"));
        }
        self.check(&line)?;
        self.hardware.make_disks()?;
        self.announce(is_emulated);
        Ok(run_machine(&line, signals)?)
    }

    /// Says what is slow, and how to end a console that takes every key.
    fn announce(&self, is_emulated: bool) {
        if is_emulated && self.args.accel == "auto" && self.loudness >= Loudness::Normal {
            report::say(
                "no virtualization for this guest here: the processor is emulated (`--accel tcg`), which is slow",
            );
        }
        let is_watched = self.loudness >= Loudness::Normal && io::stderr().is_terminal() && io::stdin().is_terminal();
        if is_watched && self.monitor == Monitor::Qemu {
            report::say("this terminal is now the console of the machine; Ctrl-A X ends it, Ctrl-A H tells more");
        }
    }

    /// Looks whether the machine can be started, apart from what it starts from.
    fn check(&self, line: &CommandLine) -> Result<(), Failure> {
        line.check_installed()?;
        self.hardware.check()
    }

    /// The address of the machine's network card, where it is kept.
    fn mac(&self) -> Result<Option<Mac>, Failure> {
        match &self.args.state {
            Some(state) if self.args.dry_run => machine::known_mac(state),
            Some(state) => machine::kept_mac(state).map(Some),
            None => Ok(None),
        }
    }

    fn prepared(&self, bootable: Bootable, mac: Option<Mac>) -> Result<Prepared, Failure> {
        let Self { args, hardware, .. } = self;
        let architecture = match (args.sources.arch.as_deref(), bootable.architecture) {
            (None, Some(found)) => found.to_owned(),
            (named, _) => machine::platform(named)?.architecture,
        };
        let machine = Machine {
            firmware: firmware(args, &bootable, &architecture)?,
            boot: bootable.boot,
            memory: hardware.memory,
            cpus: hardware.cpus,
            disks: hardware.disks(),
            network: match args.networking {
                args::Networking::User => Network::User { ports: hardware.ports.clone(), mac },
                args::Networking::None => Network::None,
            },
        };
        match self.monitor {
            Monitor::HyperKit => self.hyperkit_line(&machine),
            Monitor::Qemu => self.qemu_line(&machine, architecture),
        }
    }

    fn hyperkit_line(&self, machine: &Machine) -> Result<Prepared, Failure> {
        let args = &self.args;
        let program = args.hyperkit.clone().unwrap_or_else(|| "hyperkit".into());
        let what = args.what.iter().map(|path| path.as_os_str().as_encoded_bytes());
        let uuid = Digest::of(&what.collect::<Vec<_>>().join(&b'\n')).uuid();
        let line = hyperkit(machine, &HyperKit { program, uuid, state: args.state.clone() })?;
        Ok(Prepared { line, is_emulated: false })
    }

    fn qemu_line(&self, machine: &Machine, architecture: String) -> Result<Prepared, Failure> {
        let args = &self.args;
        let accelerator = Accelerator::choose(&args.accel, &architecture)?;
        if !args.dry_run {
            accelerator.check(&architecture)?;
        }
        let line = qemu(machine, &Qemu { program: args.qemu.clone(), architecture, accelerator })?;
        Ok(Prepared { line, is_emulated: accelerator == Accelerator::Tcg })
    }
}
