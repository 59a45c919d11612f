//! A machine that starts from a disk of its spec, which this process serves by vhost-user: nothing is mounted.

use super::Wanted;
use crate::cli::boot_disk::BootDisk;
use crate::cli::report::Failure;
use crate::output::Catalog;
use crate::serve::background::Ready;
use crate::serve::{Door, DoorRules, Exports, Generation, Serving};
use crate::vm::EndSignals;

impl Wanted {
    /// The disk of the spec to start from, where one is named.
    pub(super) fn boot_disk(&self) -> Result<Option<BootDisk>, Failure> {
        let Some(disk) = self.hardware.boot_disk else { return Ok(None) };
        if self.args.iso || self.args.root.is_some() {
            let message = "`--disk artifact=`, `--iso` and `--root` each say what the machine starts from";
            return Err(Failure::usage(message).hint("leave out all but one"));
        }
        Ok(Some(disk))
    }

    /// Starts the machine from an artifact that this process serves, for as long as the machine runs.
    pub(super) fn start_served(
        &self,
        disk: BootDisk,
        catalog: &Catalog,
        signals: EndSignals,
        ready: Option<Ready>,
    ) -> Result<(), Failure> {
        let dir = tempfile::Builder::new().prefix("lkit-run-").tempdir();
        let dir = dir.map_err(|error| Failure::io("cannot make a directory for a socket", &error))?;
        let socket = dir.path().join("disk.sock");
        let door = Door::vhost_user(&socket, &disk.artifact(catalog.name()))?;
        let serving = Serving::start(vec![door], &Exports::new(Generation::of(catalog)), &DoorRules::default())?;
        let result = self.start(disk.bootable(&socket, catalog.name()), signals, ready);
        drop(serving);
        result
    }
}
