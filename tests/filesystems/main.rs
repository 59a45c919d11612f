//! File systems judged by other people's programs and by the kernel.

#[path = "../common/artifact.rs"]
mod artifact;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/images.rs"]
mod images;
#[path = "../common/qemu.rs"]
mod qemu;

mod erofs;
mod fat;
mod guest;
mod image;
mod iso9660;
mod mount;
mod sample;
mod source;
mod squashfs;

/// What a judge prints, in UTF-8 and UTC; it must succeed.
fn judge(program: &str, arguments: &[&str]) -> String {
    common::run("env", ["LC_ALL=C.UTF-8", "TZ=UTC", program].iter().chain(arguments))
}
