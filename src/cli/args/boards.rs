//! Arguments about boards with arm64 processors.

use clap::Args as Group;

/// What artifacts for boards hold that the other ones do not.
#[derive(Debug, Default, Group)]
pub struct Boards {
    /// Device tree for boards, of those that the kernel has, by its name (`vendor/board.dtb`, `rk33*.dtb`), or a file (`/…`,
    /// `./…`) (repeatable) [default: all that the kernel has]
    #[arg(long, value_name = "NAME")]
    pub dtb: Vec<String>,
    /// What has a Raspberry Pi's firmware and U-Boot, for the formats rpi3 and rpi3-img: a directory (`/…`, `./…`) or an image
    /// such as linuxkit/mkimage-rpi3 (repeatable) [default: none of it is on the medium]
    #[arg(long, value_name = "FROM")]
    pub firmware: Vec<String>,
}
