//! Boots in tests: QEMU by emulation alone, its serial console read until it ends, with a hard time limit.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A machine to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// x86-64 with SeaBIOS.
    Bios,
    /// x86-64 with OVMF.
    Uefi,
    /// arm64 without firmware, for kernels that QEMU loads.
    Arm64,
    /// arm64 with AAVMF.
    Arm64Uefi,
    /// arm64 with U-Boot.
    Arm64UBoot,
}

/// Waits for other boots to end, and lets none begin until the guard is dropped: emulated processors that share two real
/// ones miss every deadline.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds after which a boot has failed; one takes 8 to 40.
pub const LIMIT: &str = "240";

impl Firmware {
    /// Programs and files this needs.
    pub const fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Bios | Self::Uefi => &["qemu-system-x86_64", "timeout"],
            Self::Arm64 | Self::Arm64Uefi | Self::Arm64UBoot => &["qemu-system-aarch64", "timeout"],
        }
    }

    /// Code and empty variables, as Debian's packages `ovmf` and `qemu-efi-aarch64` have them.
    const fn flash(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Bios | Self::Arm64 | Self::Arm64UBoot => None,
            Self::Uefi => Some(["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"]),
            Self::Arm64Uefi => Some(["/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"]),
        }
    }

    /// The program that starts first where there is no flash, as Debian's package `u-boot-qemu` has it.
    const fn program(self) -> Option<&'static str> {
        match self {
            Self::Arm64UBoot => Some("/usr/lib/u-boot/qemu_arm64/u-boot.bin"),
            _ => None,
        }
    }

    /// Whether all that is there.
    pub fn available(self) -> bool {
        let files = self.flash().into_iter().flatten().chain(self.program());
        let flash = files.map(Path::new).all(Path::is_file);
        crate::common::have(self.tools())
            && crate::common::skip_unless(flash, &format!("no firmware files for {self:?}"))
    }

    fn command(self, scratch: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT, self.tools()[0]]);
        match self {
            Self::Bios | Self::Uefi => command.args(["-machine", "q35", "-cpu", "max", "-smp", "2"]),
            Self::Arm64 | Self::Arm64Uefi | Self::Arm64UBoot => {
                command.args(["-machine", "virt", "-cpu", "cortex-a57", "-smp", "2"])
            }
        };
        // One thread for both processors: with one each, QEMU 7.2 now and then leaves the guest waiting for its other
        // processor for ever, and is no faster.
        command.args(["-accel", "tcg,thread=single", "-nodefaults", "-display", "none", "-no-reboot"]);
        command.args(["-serial", "stdio"]);
        if let Some([code, variables]) = self.flash() {
            let copy = scratch.join("variables.fd");
            fs::copy(variables, &copy).unwrap();
            command.args(["-drive", &format!("if=pflash,format=raw,unit=0,readonly=on,file={code}")]);
            command.args(["-drive", &format!("if=pflash,format=raw,unit=1,file={}", copy.display())]);
        }
        if let Some(program) = self.program() {
            command.args(["-bios", program]);
        }
        command
    }
}

/// Boots a machine with `args` beside the usual ones, and returns its console as text once it has ended.
pub fn boot<S: Into<OsString>>(firmware: Firmware, scratch: &Path, args: impl IntoIterator<Item = S>) -> String {
    try_boot(firmware, scratch, args).unwrap_or_else(|error| panic!("{error}"))
}

/// The same; where QEMU fails or the time is over, what was seen.
pub fn try_boot<S: Into<OsString>>(
    firmware: Firmware,
    scratch: &Path,
    args: impl IntoIterator<Item = S>,
) -> Result<String, String> {
    try_boot_by(firmware, scratch, args, |machine| machine)
}

/// The same by another command, which is made from that of the machine and ends as it does.
pub fn try_boot_by<S: Into<OsString>>(
    firmware: Firmware,
    scratch: &Path,
    args: impl IntoIterator<Item = S>,
    by: impl FnOnce(Command) -> Command,
) -> Result<String, String> {
    let _one = one_at_a_time();
    let mut machine = firmware.command(scratch);
    machine.args(args.into_iter().map(Into::into));
    let mut command = by(machine);
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    let console = String::from_utf8_lossy(&output.stdout).replace(['\r', '\u{1b}'], "");
    fs::write(scratch.join("console.log"), &console).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(console);
    }
    Err(format!("{command:?}: {}\n{errors}\n{}", output.status, tail(&console)))
}

/// Fails, with the end of the console, unless `console` has `line`.
pub fn assert_line(console: &str, line: &str) {
    assert!(console.lines().any(|found| found.contains(line)), "no line with `{line}` in\n{}", tail(console));
}

/// The last lines.
pub fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
