//! Attaching the device to a directory: by the system call where that is allowed, else by fusermount3.
//!
//! # Format
//! The options of mount(2) for `fuse` (Documentation/filesystems/fuse.rst). The helper hands the device over through the
//! socket whose number is in `_FUSE_COMMFD` (lib/mount.c of libfuse).

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::Stdio;

use rustix::fs::{AtFlags, CWD, statat};
use rustix::io::{Errno, FdFlags, fcntl_setfd, retry_on_intr};
use rustix::mount::{MountFlags, mount};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};

use crate::serve::mountpoint;

pub(super) const DEVICE: &str = "/dev/fuse";
/// Source of our mounts in mount tables, and what their type `fuse` is called after.
const NAME: &str = "lkit";

/// Mounts on `point`, and gives the device to serve the mount by. It is to be detached by whoever ends it: nothing here
/// does, since another mount may lie on `point` by then.
///
/// # Errors
/// When the system or the helper refuses.
pub(super) fn attach(point: &Path, allow_other: bool, no_exec: bool) -> io::Result<OwnedFd> {
    // Permissions are for others only: they would lock an ordinary user out of the files of root in their own mount.
    let others = if allow_other { ",default_permissions,allow_other" } else { "" };
    match directly(point, others, no_exec) {
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => match mountpoint::helper() {
            Some(helper) => by_helper(&helper, point, &format!("{others}{}", if no_exec { ",noexec" } else { "" })),
            None => Err(error),
        },
        done => done,
    }
}

fn directly(point: &Path, others: &str, no_exec: bool) -> io::Result<OwnedFd> {
    let device = File::options().read(true).write(true).open(DEVICE)?;
    // Not of what an automount on it would show.
    let mode = statat(CWD, point, AtFlags::NO_AUTOMOUNT)?.st_mode;
    let number = device.as_raw_fd();
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let data = format!("fd={number},rootmode={mode:o},user_id={user},group_id={group},subtype={NAME}{others}");
    let data = CString::new(data).expect("numbers and names hold no NUL");
    let exec = if no_exec { MountFlags::NOEXEC } else { MountFlags::empty() };
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | exec;
    mount(NAME, point, "fuse", flags, data.as_c_str())?;
    Ok(device.into())
}

fn by_helper(helper: &Path, point: &Path, others: &str) -> io::Result<OwnedFd> {
    // The helper inherits its end, and nobody else does: no other program is started meanwhile.
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)?;
    fcntl_setfd(&ours, FdFlags::CLOEXEC)?;
    let mut command = mountpoint::helper_command(helper);
    command.args(["-o", &format!("ro,fsname={NAME},subtype={NAME}{others}"), "--"]).arg(point);
    command.env("_FUSE_COMMFD", theirs.as_raw_fd().to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn()?;
    drop(theirs);
    let received = receive(&ours);
    let output = child.wait_with_output()?;
    match received? {
        Some(device) => Ok(device),
        None => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// The descriptor that comes through a socket; none when the other side closed it.
fn receive(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags))?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}
