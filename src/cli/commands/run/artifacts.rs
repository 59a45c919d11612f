//! Machines that start from what stands in a registry: `lkit run oci://REFERENCE`.

use super::Wanted;
use crate::cli::artifacts;
use crate::cli::bootable::Bootable;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::Settings;
use crate::oci::Reference;
use crate::output::PLAIN_NAMES;
use crate::serve::background::Ready;
use crate::serve::{MountOptions, TemporaryMountPoint, check_mount, mount};
use crate::vm::EndSignals;

impl Wanted {
    /// Mounts artifacts on a directory of its own for as long as the machine runs: it starts from the kernel with its initrd,
    /// else from the first file that starts.
    pub(super) fn run_artifacts(mut self, reference: &Reference, ready: Option<Ready>) -> Result<(), Failure> {
        let others = self.hardware.boot_disk.is_some() || !self.args.reads.is_empty() || self.args.root.is_some();
        if others || self.args.dry_run {
            let message = format!(
                "`{reference}` is run as it is: `--dry-run`, `--root`, `--reads`, `--record` and `--disk artifact=` are for specs"
            );
            return Err(Failure::usage(message)
                .hint(format!("mount it with `lkit mount oci://{reference} DIR`, and run the directory")));
        }
        let system = std::mem::take(&mut self.args.system);
        self.args.system.sources.arch.clone_from(&system.sources.arch);
        let settings = Settings::new(system)?;
        check_mount(MountOptions::default())?;
        let (files, names) = artifacts::files(reference, &settings, &Progress::new(self.loudness))?;
        let signals = EndSignals::catch()?;
        let dir = TemporaryMountPoint::new()?;
        let session = mount(files, dir.path(), MountOptions::default())?;
        let bootable = match names.iter().any(|name| name == PLAIN_NAMES[0]) {
            true => Bootable::in_directory(dir.path(), self.wish()),
            false => {
                let found = names.iter().find_map(|name| Bootable::named(&dir.path().join(name), self.wish()).ok()?);
                found.ok_or_else(|| Failure::usage(format!("`{reference}` has nothing to start from"))
                    .hint("push a disk, an ISO, or kernel and initrd: `lkit push registry --format raw-efi SPEC REFERENCE`"))
            }
        };
        let result = bootable.and_then(|bootable| self.start(bootable, signals, ready));
        session.unmount()?;
        result
    }
}
