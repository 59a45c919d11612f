//! HyperKit's command line, for macOS.
//!
//! # Format
//! HyperKit's `-f kexec,KERNEL,INITRD,CMDLINE`: the cmdline comes last, so commas in it are its own; in the paths there
//! must be none.

use std::path::PathBuf;

use super::{Boot, CommandLine, Error, Firmware, Machine, Network};

/// How HyperKit runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HyperKit {
    /// The program.
    pub program: PathBuf,
    /// Identifies the machine to its guest, and gives it its address.
    pub uuid: String,
    /// Directory for the process id.
    pub state: Option<PathBuf>,
}

/// The command line that runs `machine`.
///
/// # Errors
/// When the machine needs what HyperKit does not have: media, ports, paths with commas.
pub fn hyperkit(machine: &Machine, options: &HyperKit) -> Result<CommandLine, Error> {
    let unsupported = |what| Error::Unsupported { monitor: "HyperKit", what };
    let Boot::Direct { kernel, initrd: Some(initrd), cmdline, root: None } = &machine.boot else {
        return Err(unsupported("start without an initrd"));
    };
    if machine.firmware != Firmware::Own {
        return Err(unsupported("start by UEFI"));
    }
    let part = |path: &PathBuf| path.to_str().filter(|text| !text.contains(',')).map(str::to_owned);
    let paths = part(kernel).zip(part(initrd));
    let (kernel, initrd) = paths.ok_or_else(|| unsupported("load files with a comma in their path"))?;
    let mut line = CommandLine::new(options.program.clone(), "hyperkit");
    line.options(["-A", "-u"]);
    if let Some(state) = &options.state {
        line.path("-F", &state.join("hyperkit.pid"));
    }
    line.options(["-c", &machine.cpus.to_string(), "-m", &format!("{}M", machine.memory)]);
    line.options(["-s", "0:0,hostbridge", "-s", "31,lpc"]);
    match &machine.network {
        Network::User { ports, .. } if !ports.is_empty() => return Err(unsupported("publish ports")),
        Network::User { .. } => line.options(["-s", "1:0,virtio-net"]),
        Network::None => {}
    }
    for (number, disk) in machine.disks.iter().enumerate() {
        line.options(["-s", &format!("2:{number},virtio-blk,{}", disk.path.display())]);
    }
    line.options(["-s", "10,virtio-rnd", "-l", "com1,stdio", "-U", &options.uuid]);
    line.options(["-f", &format!("kexec,{kernel},{initrd},{cmdline}")]);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> HyperKit {
        HyperKit { program: "hyperkit".into(), uuid: "U".to_owned(), state: Some("/s".into()) }
    }

    fn machine(kernel: &str) -> Machine {
        let (initrd, cmdline) = (Some("/m/i".into()), "console=ttyS0,9600 x".into());
        let boot = Boot::Direct { kernel: kernel.into(), initrd, cmdline, root: None };
        let network = Network::User { ports: Vec::new(), mac: None };
        Machine { boot, firmware: Firmware::Own, memory: 1024, cpus: 1, disks: Vec::new(), network }
    }

    #[test]
    fn the_paths_of_a_mount_are_handed_over_as_they_are() {
        assert_eq!(
            hyperkit(&machine("/m/k"), &options()).unwrap().to_string(),
            "hyperkit -A -u -F /s/hyperkit.pid -c 1 -m 1024M -s 0:0,hostbridge -s 31,lpc -s 1:0,virtio-net \
             -s 10,virtio-rnd -l com1,stdio -U U -f 'kexec,/m/k,/m/i,console=ttyS0,9600 x'"
        );
        assert!(hyperkit(&machine("/m/a,b"), &options()).is_err());
        let uefi = Machine { firmware: Firmware::Uefi("/f".into()), ..machine("/m/k") };
        assert_eq!(hyperkit(&uefi, &options()).unwrap_err().to_string(), "HyperKit cannot start by UEFI");
    }
}
