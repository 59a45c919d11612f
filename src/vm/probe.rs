//! Whether KVM runs guests here: a machine of one page that adds two numbers, writes the sum to a port, and halts.
//!
//! # Format
//! `Documentation/virt/kvm/api.rst` of Linux. The processor starts in real mode.

use std::io;

/// Runs the guest and checks the sum. Where KVM is broken this may never return: run it in a process that can be
/// given up.
///
/// # Errors
/// When KVM cannot be used, or the guest did something else.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn run_guest() -> io::Result<()> {
    use kvm_bindings::kvm_userspace_memory_region;
    use kvm_ioctls::{Error, Kvm, VcpuExit};

    /// Where the guest's memory begins, and the port that it writes the sum to.
    const MEMORY: u64 = 0x1000;
    const PORT: u16 = 0x3f8;
    /// `mov al, 2; add al, 3; mov dx, 0x3f8; out dx, al; hlt`
    const CODE: [u8; 9] = [0xb0, 2, 4, 3, 0xba, 0xf8, 3, 0xee, 0xf4];

    let failed = |error: Error| io::Error::from_raw_os_error(error.errno());
    let strange = |what: &dyn std::fmt::Debug| io::Error::other(format!("the guest ended with {what:?}"));
    let mut memory = memmap2::MmapMut::map_anon(4096)?;
    memory[..CODE.len()].copy_from_slice(&CODE);
    let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).map_err(failed)?;
    let region = kvm_userspace_memory_region {
        guest_phys_addr: MEMORY,
        memory_size: 4096,
        userspace_addr: memory.as_ptr().addr() as u64,
        ..Default::default()
    };
    // SAFETY: the memory is mapped, of this size, and lives longer than the machine, which is dropped first.
    unsafe { vm.set_user_memory_region(region) }.map_err(failed)?;
    let mut cpu = vm.create_vcpu(0).map_err(failed)?;
    let mut special = cpu.get_sregs().map_err(failed)?;
    (special.cs.base, special.cs.selector) = (0, 0);
    cpu.set_sregs(&special).map_err(failed)?;
    let mut registers = cpu.get_regs().map_err(failed)?;
    // Bit 1 of the flags is always set.
    (registers.rip, registers.rflags) = (MEMORY, 2);
    cpu.set_regs(&registers).map_err(failed)?;
    match cpu.run().map_err(failed)? {
        VcpuExit::IoOut(PORT, [5]) => {}
        other => return Err(strange(&other)),
    }
    match cpu.run().map_err(failed)? {
        VcpuExit::Hlt => Ok(()),
        other => Err(strange(&other)),
    }
}

/// There is no guest for other processors.
///
/// # Errors
/// Always.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn run_guest() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "it is proved on x86-64 Linux only"))
}
