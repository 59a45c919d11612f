//! `lkit run`: boots a spec, a mounted directory or built files in a virtual machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::mount::files_of;
use crate::base::{Digest, MIB, parse_size};
use crate::cli::log::Loudness;
use crate::cli::machine;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::Settings;
use crate::cli::{args, wire};
use crate::serve::{MountOptions, mount};
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

/// Boots what was named, and leaves nothing behind.
pub fn run(mut args: args::Run, loudness: Loudness) -> Result<ExitCode, Failure> {
    let monitor = monitor(&mut args.what);
    let what = args.what.clone();
    match what.as_slice() {
        [] => return Err(Failure::usage("a spec, a directory or a prefix is needed")),
        [dir] if dir.is_dir() => start(&args, monitor, &Parts::of_directory(dir), EndSignals::catch()?, loudness)?,
        [prefix] if Parts::of_prefix(prefix).kernel.is_file() => {
            start(&args, monitor, &Parts::of_prefix(prefix), EndSignals::catch()?, loudness)?;
        }
        specs => run_specs(specs, args, monitor, loudness)?,
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

/// Where the files of a system are.
struct Parts {
    kernel: PathBuf,
    initrd: PathBuf,
    cmdline: PathBuf,
    iso: Option<PathBuf>,
}

impl Parts {
    /// In a mount, or where its files were copied to.
    fn of_directory(dir: &Path) -> Self {
        let names = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        let isos = names.filter(|path| path.extension().is_some_and(|extension| extension == "iso"));
        // The plain name is the shortest: the others have a word more.
        let iso = isos.min_by_key(|path| (path.as_os_str().len(), path.clone()));
        let part = |name| dir.join(name);
        Self { kernel: part("kernel"), initrd: part("initrd.img"), cmdline: part("cmdline"), iso }
    }

    /// As `lkit build` names them.
    fn of_prefix(prefix: &Path) -> Self {
        let part = |suffix: &str| {
            let mut path = prefix.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        let [kernel, initrd, cmdline, iso] = ["-kernel", "-initrd.img", "-cmdline", ".iso"].map(part);
        Self { kernel, initrd, cmdline, iso: Some(iso) }
    }

    fn boot(&self, args: &args::Run, architecture: &str) -> Result<Boot, Failure> {
        if args.iso {
            let iso = self.iso.clone().filter(|iso| iso.exists());
            let iso = iso.ok_or_else(|| Failure::usage("there is no ISO here").hint("start without `--iso`"))?;
            return Ok(Boot::Cdrom(iso, firmware(args, architecture)));
        }
        for part in [&self.kernel, &self.initrd] {
            fs::metadata(part).map_err(|error| Failure::io(format!("cannot start `{}`", part.display()), &error))?;
        }
        let cmdline = match fs::read(&self.cmdline) {
            Ok(text) => String::from_utf8_lossy(&text).trim_end_matches('\n').to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::io(format!("cannot read `{}`", self.cmdline.display()), &error)),
        };
        Ok(Boot::Direct { kernel: self.kernel.clone(), initrd: self.initrd.clone(), cmdline })
    }
}

/// Where Debian's packages put the firmware.
fn firmware(args: &args::Run, architecture: &str) -> Firmware {
    let usual = match architecture {
        "arm64" => "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
        _ => "/usr/share/ovmf/OVMF.fd",
    };
    if args.uefi || architecture == "arm64" {
        Firmware::Uefi(args.fw.clone().unwrap_or_else(|| usual.into()))
    } else {
        Firmware::Bios
    }
}

/// Mounts specs on a directory of its own for as long as the machine runs.
fn run_specs(specs: &[PathBuf], mut args: args::Run, monitor: Monitor, loudness: Loudness) -> Result<(), Failure> {
    let sources = std::mem::take(&mut args.sources);
    args.sources.arch.clone_from(&sources.arch);
    let settings = Settings::new(sources, specs)?;
    let progress = Progress::new(loudness);
    let loaded = wire::load(specs, &settings, &progress)?;
    let dir = tempfile::Builder::new().prefix("lkit-").tempdir();
    let dir = dir.map_err(|error| Failure::io("cannot make a directory to mount on", &error))?;
    // Before the mount, which a signal between it and the machine would leave behind.
    let signals = EndSignals::catch()?;
    let session = mount(files_of(loaded.catalog, &|_| {}), dir.path(), MountOptions::default())?;
    let result = start(&args, monitor, &Parts::of_directory(dir.path()), signals, loudness);
    session.unmount()?;
    result
}

fn start(
    args: &args::Run,
    monitor: Monitor,
    parts: &Parts,
    signals: EndSignals,
    loudness: Loudness,
) -> Result<(), Failure> {
    let line = command_line(args, monitor, parts, loudness)?;
    if args.dry_run {
        println!("{line}");
        return Ok(());
    }
    Ok(run_machine(&line, signals)?)
}

fn command_line(args: &args::Run, monitor: Monitor, parts: &Parts, loudness: Loudness) -> Result<CommandLine, Failure> {
    let platform = machine::platform(args.sources.arch.as_deref())?;
    let ports = args.publish.iter().map(|text| text.parse()).collect::<Result<Vec<Port>, _>>()?;
    if !args.dry_run {
        ports.iter().try_for_each(Port::check_free)?;
    }
    let memory = parse_size(&args.mem, MIB).map(|bytes| bytes / MIB).filter(|memory| *memory > 0);
    let memory = memory.ok_or_else(|| Failure::usage(format!("--mem: `{}` is no size", args.mem)))?;
    let mac = args.state.as_deref().map(machine::kept_mac).transpose()?;
    let machine = Machine {
        boot: parts.boot(args, &platform.architecture)?,
        memory,
        cpus: args.cpus.max(1),
        disks: args.disk.iter().map(|text| machine::disk(text)).collect::<Result<_, _>>()?,
        network: match args.networking {
            args::Networking::User => Network::User { ports, mac },
            args::Networking::None => Network::None,
        },
    };
    if monitor == Monitor::HyperKit {
        let program = args.hyperkit.clone().unwrap_or_else(|| "hyperkit".into());
        let uuid = machine::uuid(&Digest::of(parts.kernel.as_os_str().as_encoded_bytes()));
        return Ok(hyperkit(&machine, &HyperKit { program, uuid, state: args.state.clone() })?);
    }
    let accelerator = Accelerator::choose(&args.accel, &platform.architecture)?;
    if args.accel == "auto" && accelerator == Accelerator::Tcg && loudness >= Loudness::Normal {
        eprintln!("no virtualization for this guest here: the processor is emulated (`--accel tcg`), which is slow");
    }
    let options = Qemu { program: args.qemu.clone(), architecture: platform.architecture, accelerator };
    Ok(qemu(&machine, &options)?)
}
