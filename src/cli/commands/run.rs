//! `lkit run`: boots a spec, a mounted directory or files in a virtual machine.

mod artifacts;
mod aside;
mod elsewhere;
mod printed;
mod remote;
mod served;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use self::aside::Aside;
use crate::base::{Digest, ErrorKind, nearest};
use crate::cli::boot_disk::Way;
use crate::cli::bootable::{Bootable, Wish};
use crate::cli::log::Loudness;
use crate::cli::machine::{self, Hardware};
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, metadata, specs};
use crate::extent::{Bytes, SharedSource};
use crate::output::{MetadataVolume, RootFs, metadata_iso};
use crate::serve::background::{self, Ready, Side, Started};
use crate::serve::{Files, MountOptions, TemporaryMountPoint, check_mount, mount, sweep};
use crate::system;
use crate::vm::{
    Ability, Accelerator, Boot, CommandLine, EndSignals, Firmware, HyperKit, Link, Mac, Machine, Monitor, Network,
    Qemu, Server, Share, Small, hyperkit, local, qemu, small, start as start_machine, virtiofsd,
};

/// The CD with metadata, and the file that Firecracker reads.
const DATA: &str = "data.iso";
const CONFIG: &str = "firecracker.json";
/// The console of a machine in the background.
const CONSOLE: &str = "console.log";

/// What is run, what else it needs, and whether it is slow.
struct Prepared {
    line: CommandLine,
    /// What the monitor reads from the file `CONFIG`, if it does.
    config: Option<Vec<u8>>,
    servers: Vec<Server>,
    is_emulated: bool,
}

/// A machine as it is asked for, apart from what it starts from.
struct Wanted {
    args: args::Run,
    hardware: Hardware,
    monitor: Monitor,
    loudness: Loudness,
    /// The ISO with metadata, if there is any.
    metadata: Option<SharedSource>,
}

/// Boots what was named, and leaves nothing behind.
pub fn run(mut args: args::Run, loudness: Loudness) -> Result<ExitCode, Failure> {
    let monitor = monitor(&mut args.what)?;
    if !args.devices.detached {
        return wanted(args, monitor, loudness)?.run(None);
    }
    monitor.need(Ability::Background)?;
    match background::split()? {
        Side::Server(ready) => wanted(args, monitor, loudness)?.run(Some(ready)),
        Side::Launcher(Started::Ready) => Ok(ExitCode::SUCCESS),
        Side::Launcher(Started::Failed(code)) => Ok(ExitCode::from(code)),
    }
}

/// The machine that is asked for.
///
/// # Errors
/// When an option makes no sense, or not for this monitor.
fn wanted(mut args: args::Run, monitor: Monitor, loudness: Loudness) -> Result<Wanted, Failure> {
    check_options(&args, monitor)?;
    let hardware = Hardware::parse(&args, monitor)?;
    let data = metadata::given(args.devices.data.clone(), args.devices.data_file.as_deref())?;
    let volume = if monitor.can(Ability::Cds) { MetadataVolume::Cd } else { MetadataVolume::Disk };
    let metadata = data.map(|data| metadata_iso(&data, volume)).transpose()?;
    let is_arm = machine::platform(args.system.sources.arch.as_deref())?.architecture == "arm64";
    // These start no kernel that is compressed.
    args.system.making.decompress_kernel |= monitor == Monitor::Firecracker || (monitor == Monitor::Vfkit && is_arm);
    Ok(Wanted { args, hardware, monitor, loudness, metadata })
}

/// Refuses options that are for another monitor.
fn check_options(args: &args::Run, monitor: Monitor) -> Result<(), Failure> {
    let others = [
        (args.qemu.is_some(), "--qemu", Monitor::Qemu),
        (args.hyperkit.is_some(), "--hyperkit", Monitor::HyperKit),
        (args.accel != "auto", "--accel", Monitor::Qemu),
    ];
    match others.into_iter().find(|(given, _, of)| *given && *of != monitor) {
        None => Ok(()),
        Some((_, option, of)) => {
            let message = format!("`{option}` is for {}, and not for {}", of.title(), monitor.title());
            Err(Failure::usage(message).hint(format!("write `lkit run {} …`, or leave it out", of.name())))
        }
    }
}

/// Takes the monitor's name away, when it stands in front.
///
/// # Errors
/// When it names a place that lkit runs no machines in.
fn monitor(what: &mut Vec<PathBuf>) -> Result<Monitor, Failure> {
    elsewhere::check(what)?;
    let first = what.first().and_then(|first| first.to_str()).unwrap_or_default();
    let named = Monitor::named(first);
    if named.is_none() && what.len() > 1 && !Path::new(first).exists() {
        let names = Monitor::ALL.into_iter().map(Monitor::name).chain(elsewhere::names());
        if let Some(like) = nearest(first, names) {
            let failure = Failure::usage(format!("`{first}` is neither a monitor nor a file"));
            return Err(failure.hint(format!("did you mean `{like}`?")));
        }
    }
    if named.is_some() && what.len() > 1 {
        what.remove(0);
    }
    Ok(named.unwrap_or(if cfg!(target_os = "macos") { Monitor::HyperKit } else { Monitor::Qemu }))
}

/// The file that `--kernel` or `--squashfs` means of those with a prefix.
///
/// # Errors
/// When it is not there.
fn of_kind(args: &args::Run) -> Result<Option<PathBuf>, Failure> {
    let (option, suffix) = match (args.devices.kernel, args.devices.squashfs) {
        (true, _) => ("--kernel", "-initrd.img"),
        (_, true) => ("--squashfs", "-squashfs.img"),
        _ => return Ok(None),
    };
    let [prefix] = &args.what[..] else { return Ok(None) };
    let mut file = prefix.clone().into_os_string();
    file.push(suffix);
    let file = PathBuf::from(file);
    match file.is_file() {
        true => Ok(Some(file)),
        false if args.devices.kernel && prefix.exists() => Ok(None),
        false => Err(Failure::usage(format!("{option}: there is no `{}`", file.display()))
            .hint("name the prefix of files, or start a spec from its root on a disk with `--root squashfs`")),
    }
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

impl Wanted {
    fn run(self, ready: Option<Ready>) -> Result<ExitCode, Failure> {
        if !self.args.dry_run {
            sweep();
        }
        let kind = of_kind(&self.args)?;
        let what = kind.map_or_else(|| self.args.what.clone(), |file| vec![file]);
        if let Some(reference) = crate::cli::artifacts::reference(&what)? {
            self.run_artifacts(&reference, ready)?;
            return Ok(ExitCode::SUCCESS);
        }
        let wish = self.wish();
        if let Some(url) = &self.args.devices.from {
            let name = name_of_specs(&self.args, &what)?;
            let uefi = self.args.uefi || self.args.system.sources.arch.as_deref() == Some("arm64");
            let bootable = remote::bootable(url, &name, uefi)?;
            if matches!(bootable.boot, Boot::Script(_)) && self.hardware.link != Link::Own {
                let message =
                    format!("`--from {url}` starts the machine from its network, and it has none of QEMU's own");
                return Err(Failure::usage(message).hint("leave out `--networking`, or serve it over NBD"));
            }
            self.start(bootable, EndSignals::catch()?, ready)?;
            return Ok(ExitCode::SUCCESS);
        }
        let found = match what.as_slice() {
            [] => return Err(Failure::usage("a spec, a directory, a file or a prefix is needed")),
            [dir] if dir.is_dir() => Some(Bootable::in_directory(dir, wish)?),
            [name] => Bootable::named(name, wish)?,
            _ => None,
        };
        match found {
            Some(_) if self.hardware.boot_disk.is_some() => {
                let message = "`--disk artifact=` is for specs: who mounts a directory shows its disks in it";
                return Err(Failure::usage(message).hint("name the disk, such as `DIR/NAME-efi.img`"));
            }
            Some(_) if !self.args.reads.is_empty() => {
                let message = "`--record` and `--reads` are for specs: who mounts a directory reads for it";
                return Err(Failure::usage(message).hint("give them to `lkit mount`, or name the spec"));
            }
            Some(bootable) => self.start(bootable, EndSignals::catch()?, ready)?,
            None => self.run_specs(&what, ready)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wish(&self) -> Wish<'_> {
        let args = &self.args;
        Wish { iso: args.iso, initrd: args.initrd.as_deref(), root: args.root.map(RootFs::from) }
    }

    /// Mounts specs on a directory of its own for as long as the machine runs. What cannot work is refused before
    /// anything is fetched.
    fn run_specs(mut self, specs: &[PathBuf], ready: Option<Ready>) -> Result<(), Failure> {
        if self.args.initrd.is_some() {
            let message = "`--initrd` is for a root such as `N-squashfs.img`: the initrd of a spec is made of the spec";
            return Err(Failure::usage(message).hint("leave out `--initrd`"));
        }
        let system = std::mem::take(&mut self.args.system);
        self.args.system.sources.arch.clone_from(&system.sources.arch);
        let mut words = system.words();
        let root = self.args.root.map(RootFs::from);
        words.extend(root.map(|root| OsString::from(format!("--root={}", root.name()))));
        words.extend(self.args.reads.words());
        let mut settings = Settings::new(system)?.with_root(self.args.root);
        let recording = self.args.reads.apply(&mut settings)?;
        let inputs = specs::inputs(specs);
        let name = settings.name(&inputs);
        let progress = Progress::new(self.loudness);
        let parsed = system::parse(&inputs, &progress)?;
        let wish = Wish { initrd: None, ..self.wish() };
        let disk = self.boot_disk()?;
        let is_served = disk.is_some_and(|disk| disk.way == Way::VhostUser);
        let later = Path::new(".").join(format!("{name}.{}", if is_served { "sock" } else { "mnt" }));
        let bootable = Bootable::of_spec(&parsed.spec, &name, &later, wish)?;
        let bootable = disk.map_or(bootable, |disk| disk.bootable(&later, &name));
        // What a machine keeps is made and read when it starts.
        let mac = if self.args.dry_run { self.mac()? } else { None };
        let prepared = self.prepared(bootable, mac, &self.printed())?;
        if self.args.dry_run {
            let machine = self.lines(&prepared);
            return report::print(&match disk.filter(|_| is_served) {
                Some(disk) => printed::server_steps(specs, &words, (&later, &disk.artifact(&name)), &machine),
                None => printed::steps(specs, &words, &later, &machine),
            });
        }
        self.check(&prepared)?;
        if !is_served {
            check_mount(MountOptions::default())?;
        }
        let loaded = specs::load_parsed(parsed, &inputs, &settings, &progress)?;
        loaded.catalog.check_root_disk()?;
        // Before the mount, which a signal between it and the machine would leave behind.
        let signals = EndSignals::catch()?;
        if let Some(disk) = disk.filter(|_| is_served) {
            self.start_served(disk, &loaded.catalog, signals, ready)?;
            return recording.finish();
        }
        let dir = TemporaryMountPoint::new()?;
        let files = Files::of(&loaded.catalog).with_counts(loaded.layers.clone());
        let session = mount(files, dir.path(), MountOptions::default())?;
        let bootable = match disk {
            Some(disk) => Ok(disk.bootable(dir.path(), &name)),
            None => {
                let found = Bootable::in_directory(dir.path(), Wish { initrd: None, ..self.wish() });
                found.map(|found| Bootable { shown: true, ..found })
            }
        };
        let result = bootable.and_then(|bootable| self.start(bootable, signals, ready));
        session.unmount()?;
        recording.finish()?;
        result
    }

    fn start(&self, bootable: Bootable, signals: EndSignals, ready: Option<Ready>) -> Result<(), Failure> {
        if self.args.dry_run {
            let prepared = self.prepared(bootable, self.mac()?, &self.printed())?;
            return report::print(&self.lines(&prepared));
        }
        self.check_kernel(&bootable)?;
        let aside = if self.needs_aside() { Aside::new()? } else { self.printed() };
        let prepared = self.prepared(bootable, self.mac()?, &aside)?;
        self.check(&prepared)?;
        self.hardware.make_disks()?;
        let session = aside.show(self.files(&prepared))?;
        let result = self.watch(&prepared, signals, ready);
        session.map(|session| session.unmount()).transpose()?;
        result
    }

    /// Runs the machine on this terminal; in the background once it has been started, where that is asked for.
    fn watch(&self, prepared: &Prepared, signals: EndSignals, ready: Option<Ready>) -> Result<(), Failure> {
        self.announce(prepared.is_emulated);
        let Some((ready, state)) = ready.zip(self.args.state.as_deref()) else {
            return Ok(start_machine(&prepared.line, &prepared.servers, None, signals)?.wait()?);
        };
        let path = state.join(CONSOLE);
        let console = File::create(&path);
        let console = console.map_err(|error| Failure::io(format!("cannot write `{}`", path.display()), &error))?;
        let mut running = start_machine(&prepared.line, &prepared.servers, Some(&console), signals)?;
        if running.has_started() {
            ready.announce(Some(&path))?;
            return Ok(running.wait()?);
        }
        let why = || format!("read what it says in `{}`", path.display());
        running.wait().map_err(|error| Failure::from(error).hint(why()))
    }

    /// Says what is slow, what is missing, and how to end a console that takes every key.
    fn announce(&self, is_emulated: bool) {
        let Self { args, monitor, .. } = self;
        if self.loudness < Loudness::Normal {
            return;
        }
        if is_emulated && args.accel == "auto" {
            report::say(
                "no virtualization for this guest here: the processor is emulated (`--accel tcg`), which is slow",
            );
        }
        if args.devices.networking.is_none() && !monitor.can(Ability::OwnNetwork) {
            report::say(&format!(
                "the machine has no network, since {} has none of its own; `--networking tap,INTERFACE` gives it one",
                monitor.title()
            ));
        }
        let is_watched = io::stderr().is_terminal() && io::stdin().is_terminal() && !args.devices.detached;
        if is_watched && *monitor == Monitor::Qemu {
            report::say("this terminal is now the console of the machine; Ctrl-A X ends it, Ctrl-A H tells more");
        }
    }

    /// Looks whether the machine can be started, apart from what it starts from.
    fn check(&self, prepared: &Prepared) -> Result<(), Failure> {
        prepared.line.check_installed()?;
        prepared.servers.iter().try_for_each(Server::check_installed)?;
        for directory in &self.args.devices.virtiofs {
            fs::read_dir(directory).map_err(|error| cannot_share(directory, &error))?;
        }
        let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
        if self.args.devices.gui && cfg!(target_os = "linux") && !has_screen {
            return Err(Failure::new(
                ErrorKind::Io,
                "`--gui` needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set",
            )
            .hint("leave out `--gui`, or use the program on a desktop"));
        }
        if self.metadata.is_some() || prepared.config.is_some() {
            check_mount(MountOptions::default())?;
        }
        self.hardware.check()
    }

    /// Refuses a kernel that Firecracker would not find the start of.
    fn check_kernel(&self, bootable: &Bootable) -> Result<(), Failure> {
        match &bootable.boot {
            Boot::Direct { kernel, .. }
                if self.monitor == Monitor::Firecracker && bootable.architecture == Some("amd64") =>
            {
                let message = format!("Firecracker cannot start `{}`, which is a compressed kernel", kernel.display());
                Err(Failure::new(ErrorKind::Unsupported, message)
                    .hint("mount or build the spec with `--decompress-kernel`, or name the spec itself"))
            }
            _ => Ok(()),
        }
    }

    /// The address of the machine's network card, where it is kept.
    fn mac(&self) -> Result<Option<Mac>, Failure> {
        match &self.args.state {
            Some(state) if self.args.dry_run => machine::known_mac(state),
            Some(state) => machine::kept_mac(state).map(Some),
            None => Ok(None),
        }
    }

    /// Whether the machine needs any file or socket in addition to what it starts from.
    fn needs_aside(&self) -> bool {
        self.metadata.is_some() || !self.args.devices.virtiofs.is_empty() || self.monitor == Monitor::Firecracker
    }

    /// Where printed commands put these files and sockets.
    fn printed(&self) -> Aside {
        Aside::Printed(self.args.state.as_deref().map_or_else(|| ".".into(), local))
    }

    /// The commands that start the machine, as a shell takes them.
    fn lines(&self, prepared: &Prepared) -> String {
        let mut lines = printed::made(&self.printed(), self, prepared);
        lines.push(prepared.line.to_string());
        lines.join("\n") + "\n"
    }

    /// The files that the machine needs in addition to what it starts from.
    fn files(&self, prepared: &Prepared) -> Vec<aside::File> {
        let metadata = self.metadata.iter().map(|iso| (DATA, iso.clone()));
        let config =
            prepared.config.iter().map(|config| (CONFIG, Arc::new(Bytes(config.as_slice().into())) as SharedSource));
        metadata.chain(config).collect()
    }

    fn prepared(&self, bootable: Bootable, mac: Option<Mac>, aside: &Aside) -> Result<Prepared, Failure> {
        let Self { args, hardware, monitor, .. } = self;
        let architecture = match (args.system.sources.arch.as_deref(), bootable.architecture) {
            (None, Some(found)) => found.to_owned(),
            (named, _) => machine::platform(named)?.architecture,
        };
        if architecture != machine::platform(None)?.architecture {
            monitor.need(Ability::OtherGuests)?;
        }
        // virtiofsd and vfkit take no path that depends on where they run.
        let share = |(number, directory): (usize, &PathBuf)| {
            let directory = std::path::absolute(directory).map_err(|error| cannot_share(directory, &error))?;
            Ok(Share { directory, socket: aside.socket(&Share::tag(number)) })
        };
        let machine = Machine {
            firmware: firmware(args, &bootable, &architecture)?,
            boot: bootable.boot,
            past_cache: bootable.shown,
            memory: hardware.memory,
            cpus: hardware.cpus,
            disks: hardware.disks(),
            cds: self.metadata.iter().map(|_| aside.file(DATA)).collect(),
            shares: args.devices.virtiofs.iter().enumerate().map(share).collect::<Result<_, Failure>>()?,
            network: Network { link: hardware.link.clone(), ports: hardware.ports.clone(), mac },
            devices: args.devices.device.clone(),
            usb: args.devices.usb,
            window: args.devices.gui,
        };
        let (line, config, is_emulated) = match monitor {
            Monitor::HyperKit => (self.hyperkit_line(&machine)?, None, false),
            Monitor::Qemu => {
                let (line, is_emulated) = self.qemu_line(&machine, architecture)?;
                (line, None, is_emulated)
            }
            _ => {
                let Small { line, config } =
                    small(*monitor, &machine, args.devices.program.clone(), &aside.file(CONFIG))?;
                (line, config, false)
            }
        };
        let needs_server = monitor.can(Ability::Shares);
        let server = |share: &Share| virtiofsd(args.devices.virtiofsd.as_deref(), share);
        let servers = machine.shares.iter().filter(|_| needs_server).map(server).collect::<Result<_, _>>()?;
        Ok(Prepared { line, config, servers, is_emulated })
    }

    fn hyperkit_line(&self, machine: &Machine) -> Result<CommandLine, Failure> {
        let args = &self.args;
        let program = args.hyperkit.clone().or_else(|| args.devices.program.clone());
        let what = args.what.iter().map(|path| path.as_os_str().as_encoded_bytes());
        let uuid = Digest::of(&what.collect::<Vec<_>>().join(&b'\n')).uuid().to_string();
        let program = program.unwrap_or_else(|| Monitor::HyperKit.name().into());
        Ok(hyperkit(machine, &HyperKit { program, uuid, state: args.state.clone() })?)
    }

    fn qemu_line(&self, machine: &Machine, architecture: String) -> Result<(CommandLine, bool), Failure> {
        let args = &self.args;
        let accelerator = Accelerator::choose(&args.accel, &architecture)?;
        if !args.dry_run {
            accelerator.check(&architecture)?;
        }
        let program = args.qemu.clone().or_else(|| args.devices.program.clone());
        let line = qemu(machine, &Qemu { program, architecture, accelerator, state: args.state.clone() })?;
        Ok((line, accelerator == Accelerator::Tcg))
    }
}

fn cannot_share(directory: &Path, error: &io::Error) -> Failure {
    Failure::io(format!("--virtiofs: cannot share `{}`", directory.display()), error)
        .hint("name a directory that you may read")
}

/// The name of the system that these specs make.
fn name_of_specs(args: &args::Run, specs: &[PathBuf]) -> Result<String, Failure> {
    Ok(args.system.making.name.clone().unwrap_or_else(|| system::name_of(&specs::inputs(specs))))
}
