//! What makes a machine fast: the host's virtualization, where it can be used.

use std::fs::{self, File};
use std::io;
use std::str::FromStr;

use super::Error;

/// How guest instructions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// Linux's KVM.
    Kvm,
    /// macOS's Hypervisor framework.
    Hvf,
    /// Translation: slow, and always there.
    Tcg,
}

impl Accelerator {
    /// The accelerator of this name; `auto` takes the best for guests of `architecture` (a GOARCH name).
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn choose(name: &str, architecture: &str) -> Result<Self, Error> {
        if name == "auto" { Ok(Self::best(architecture)) } else { name.parse() }
    }

    /// Fails when it cannot be used for guests of `architecture` here.
    ///
    /// # Errors
    /// With the reason.
    pub fn check(self, architecture: &str) -> Result<(), Error> {
        let host = crate::base::Platform::host().architecture;
        let usable = match self {
            Self::Tcg => Ok(()),
            _ if host != architecture => Err(io::Error::other(format!("it runs guests for {host} only"))),
            Self::Kvm => open_kvm().map(drop),
            Self::Hvf if cfg!(target_os = "macos") => Ok(()),
            Self::Hvf => Err(io::Error::other("it is a part of macOS")),
        };
        usable.map_err(|source| Error::Accelerator { name: self.name(), source })
    }

    /// QEMU's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Tcg => "tcg",
        }
    }

    /// Whether `auto` means KVM for guests of this machine's own architecture.
    pub fn is_kvm_best() -> bool {
        Self::best(&crate::base::Platform::host().architecture) == Self::Kvm
    }

    fn best(architecture: &str) -> Self {
        let is_native = crate::base::Platform::host().architecture == architecture;
        match () {
            () if !is_native => Self::Tcg,
            () if cfg!(target_os = "macos") => Self::Hvf,
            () if open_kvm().is_ok() && cpu_virtualizes() => Self::Kvm,
            () => Self::Tcg,
        }
    }
}

fn open_kvm() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/kvm")
}

/// Whether the processor says that it can run guests. `/dev/kvm` alone proves nothing: inside some machines it opens,
/// and hangs stock kernels.
fn cpu_virtualizes() -> bool {
    if cfg!(not(target_arch = "x86_64")) {
        return true;
    }
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut flags = text.lines().filter(|line| line.starts_with("flags")).flat_map(str::split_whitespace);
    flags.any(|flag| flag == "vmx" || flag == "svm")
}

impl FromStr for Accelerator {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = [Self::Kvm, Self::Hvf, Self::Tcg];
        let found = known.into_iter().find(|accelerator| accelerator.name() == name);
        found.ok_or_else(|| Error::NotAnAccelerator(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_of_another_architecture_is_translated() {
        let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
        assert_eq!(Accelerator::choose("auto", other).unwrap(), Accelerator::Tcg);
        assert_eq!(Accelerator::choose("kvm", other).unwrap(), Accelerator::Kvm);
        assert!(Accelerator::choose("fast", other).is_err());
    }

    #[test]
    fn an_accelerator_of_another_machine_is_refused_with_the_reason() {
        use std::error::Error as _;

        use crate::base::Fault as _;

        let host = crate::base::Platform::host().architecture;
        assert!(Accelerator::Tcg.check("s390x").is_ok());
        let error = Accelerator::Kvm.check("s390x").unwrap_err();
        assert_eq!(error.to_string(), "cannot use the accelerator `kvm`");
        assert_eq!(error.source().unwrap().to_string(), format!("it runs guests for {host} only"));
        let denied = Error::Accelerator { name: "kvm", source: io::ErrorKind::PermissionDenied.into() };
        assert_eq!(denied.hint().unwrap(), "let this user into the group `kvm`, or emulate with `--accel tcg`");
    }
}
