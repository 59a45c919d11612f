//! The device of a mount that a helper makes: fusermount3 on Linux, that of macFUSE.
//!
//! # Format
//! The helper hands the device over through the socket whose number is in `_FUSE_COMMFD` (lib/mount.c of libfuse,
//! lib/mount_darwin.c of macFUSE's).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd, retry_on_intr};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Starts the helper. Gives the device, and the helper, which may still run; no device when the helper refuses.
///
/// # Errors
/// When the helper cannot be started, or nothing comes from it.
pub(super) fn from_helper(mut command: Command) -> io::Result<(Option<OwnedFd>, Child)> {
    // The helper inherits its end, and nobody else does: no other program is started meanwhile.
    let (ours, theirs) = UnixStream::pair()?;
    fcntl_setfd(&theirs, FdFlags::empty())?;
    command.env("_FUSE_COMMFD", theirs.as_raw_fd().to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn()?;
    drop(theirs);
    Ok((receive(&ours)?, child))
}

/// The descriptor that comes through a socket; none when the other side closed it.
fn receive(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty()))?;
    let device = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    device.iter().try_for_each(|device| fcntl_setfd(device, FdFlags::CLOEXEC))?;
    Ok(device)
}
