//! `lkit run`: boots a spec, a mounted directory or files in a virtual machine.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::base::{Digest, ErrorKind};
use crate::cli::bootable::{Bootable, Wish};
use crate::cli::log::Loudness;
use crate::cli::machine::{self, Hardware};
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, specs};
use crate::serve::{Files, MountOptions, TemporaryMountPoint, mount, sweep};
use crate::vm::{
    Accelerator, Boot, CommandLine, EndSignals, Firmware, HyperKit, Machine, Network, Port, Qemu, hyperkit, qemu,
    run as run_machine,
};

/// The monitors there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Monitor {
    Qemu,
    HyperKit,
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
    let monitor = monitor(&mut args.what);
    let hardware = Hardware::parse(&args)?;
    sweep();
    let what = args.what.clone();
    let wish = Wish { iso: args.iso, initrd: args.initrd.as_deref() };
    let found = match what.as_slice() {
        [] => return Err(Failure::usage("a spec, a directory, a file or a prefix is needed")),
        [dir] if dir.is_dir() => Some(Bootable::in_directory(dir, wish)?),
        [name] => Bootable::named(name, wish)?,
        _ => None,
    };
    let wanted = Wanted { args, hardware, monitor, loudness };
    match found {
        Some(bootable) => wanted.start(bootable, EndSignals::catch()?)?,
        None => run_specs(&what, wanted)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes the monitor's name away, when it stands in front.
fn monitor(what: &mut Vec<PathBuf>) -> Monitor {
    let named = match what.first().and_then(|first| first.to_str()) {
        Some("qemu") => Some(Monitor::Qemu),
        Some("hyperkit") => Some(Monitor::HyperKit),
        _ => None,
    };
    if named.is_some() && what.len() > 1 {
        what.remove(0);
    }
    named.unwrap_or(if cfg!(target_os = "macos") { Monitor::HyperKit } else { Monitor::Qemu })
}

/// The firmware to start by; where Debian's packages put it, unless another is named.
fn firmware(args: &args::Run, bootable: &Bootable, architecture: &str) -> Result<Firmware, Failure> {
    let (usual, package) = match architecture {
        "arm64" => ("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "qemu-efi-aarch64"),
        _ => ("/usr/share/ovmf/OVMF.fd", "ovmf"),
    };
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

/// Mounts specs on a directory of its own for as long as the machine runs.
fn run_specs(specs: &[PathBuf], mut wanted: Wanted) -> Result<(), Failure> {
    let sources = std::mem::take(&mut wanted.args.sources);
    wanted.args.sources.arch.clone_from(&sources.arch);
    let settings = Settings::new(sources)?;
    let progress = Progress::new(wanted.loudness);
    let loaded = specs::load(specs, &settings, &progress)?;
    // Before the mount, which a signal between it and the machine would leave behind.
    let signals = EndSignals::catch()?;
    let dir = TemporaryMountPoint::new()?;
    let session = mount(Files::of(&loaded.catalog), dir.path(), MountOptions::default())?;
    let bootable = Bootable::in_directory(dir.path(), Wish { iso: wanted.args.iso, initrd: None });
    let result = bootable.and_then(|bootable| wanted.start(bootable, signals));
    session.unmount()?;
    result
}

impl Wanted {
    fn start(&self, bootable: Bootable, signals: EndSignals) -> Result<(), Failure> {
        let line = self.command_line(bootable)?;
        if self.args.dry_run {
            return report::print(&format!("{line}\n"));
        }
        Ok(run_machine(&line, signals)?)
    }

    fn command_line(&self, bootable: Bootable) -> Result<CommandLine, Failure> {
        let Self { args, hardware, .. } = self;
        let architecture = match (args.sources.arch.as_deref(), bootable.architecture) {
            (None, Some(found)) => found.to_owned(),
            (named, _) => machine::platform(named)?.architecture,
        };
        if !args.dry_run {
            hardware.ports.iter().try_for_each(Port::check_free)?;
        }
        let mac = args.state.as_deref().map(machine::kept_mac).transpose()?;
        let machine = Machine {
            firmware: firmware(args, &bootable, &architecture)?,
            boot: bootable.boot,
            memory: hardware.memory,
            cpus: hardware.cpus,
            disks: if args.dry_run { hardware.named_disks() } else { hardware.disks()? },
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

    fn hyperkit_line(&self, machine: &Machine) -> Result<CommandLine, Failure> {
        let args = &self.args;
        let program = args.hyperkit.clone().unwrap_or_else(|| "hyperkit".into());
        let what = args.what.iter().map(|path| path.as_os_str().as_encoded_bytes());
        let uuid = machine::uuid(&Digest::of(&what.collect::<Vec<_>>().join(&b'\n')));
        Ok(hyperkit(machine, &HyperKit { program, uuid, state: args.state.clone() })?)
    }

    fn qemu_line(&self, machine: &Machine, architecture: String) -> Result<CommandLine, Failure> {
        let args = &self.args;
        let accelerator = Accelerator::choose(&args.accel, &architecture)?;
        if args.accel == "auto" && accelerator == Accelerator::Tcg && self.loudness >= Loudness::Normal {
            report::say(
                "no virtualization for this guest here: the processor is emulated (`--accel tcg`), which is slow",
            );
        }
        Ok(qemu(machine, &Qemu { program: args.qemu.clone(), architecture, accelerator })?)
    }
}
