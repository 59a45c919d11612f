//! The distinct things lkit lays out; several file names may show one of them.

/// Something that is laid out from a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Product {
    /// The kernel.
    Kernel,
    /// Microcode and the root as a newc archive.
    Initrd,
    /// The kernel command line.
    Cmdline,
    /// The root and `boot/` as a tar.
    Tar,
    /// The same with a `Dockerfile`.
    Docker,
    /// Kernel, initrd and command line as a tar.
    KernelInitrdTar,
}

impl Product {
    /// Number of products.
    pub const COUNT: usize = 6;
}
