//! File systems judged by other people's programs and by the kernel.

mod erofs;
mod fat;
mod guest;
mod image;
mod iso9660;
mod mount;
mod packed;
mod squashfs;

use crate::common;

/// What a judge prints, in UTF-8 and UTC; it must succeed.
fn judge(program: &str, arguments: &[&str]) -> String {
    common::run("env", ["LC_ALL=C.UTF-8", "TZ=UTC", program].iter().chain(arguments))
}
