//! The BIOS loader (`bios.asm`), whose fields tell where on a medium it finds what it loads.

use super::{Error, hex};

/// Sector 0, then stage 2 up to the command line.
static PROGRAM: [u8; hex::len(include_str!("built/bios.hex"))] = hex::decode(include_str!("built/bios.hex"));

/// Size of sector 0 in bytes.
const SECTOR0: usize = 512;
/// The loader counts places in sectors of a disk, of which four are a block of a CD.
const UNIT: u64 = 512;
/// Stage 2 and all files start at a multiple of this and are read in multiples of it.
const BLOCK: usize = 2048;
/// Longest command line: kernels take 2048 bytes with the NUL (COMMAND_LINE_SIZE of x86).
const MAX_COMMAND_LINE: usize = 2047;

/// Fields of sector 0, by offset.
const STAGE2_UNIT: usize = 0x1a8;
const STAGE2_UNITS: usize = 0x1ac;
const UNIT_SHIFT: usize = 0x1ae;
/// Fields of stage 2, by offset.
const KERNEL: usize = 8;
const INITRD: usize = 16;
const COMMAND_SIZE: usize = 26;

/// What the BIOS reads sectors of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BiosMedium {
    /// A disk or USB stick: 512 bytes.
    Disk,
    /// A CD, started by El Torito without emulation: 2048 bytes.
    Cd,
}

/// A file the loader reads: one run of bytes of the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BiosFile {
    /// Offset on the medium in bytes, a multiple of 2048.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

/// The boot sector for a stage 2 of `stage2_size` bytes at `stage2_offset` of the medium.
///
/// Its last 72 bytes are free for a disk's signature and partition table, apart from the mark 55 aa at the end.
///
/// # Errors
/// When the BIOS cannot reach the offset.
pub fn bios_boot_sector(medium: BiosMedium, stage2_offset: u64, stage2_size: usize) -> Result<[u8; SECTOR0], Error> {
    let stage2 = BiosFile { offset: stage2_offset, size: stage2_size as u64 };
    let units = u16::try_from(stage2_size.next_multiple_of(BLOCK) / UNIT as usize);
    let units = units.map_err(|_| stage2.beyond("second stage"))?;
    let mut sector: [u8; SECTOR0] = PROGRAM[..SECTOR0].try_into().expect("the program begins with sector 0");
    put(&mut sector, STAGE2_UNIT, &stage2.unit("second stage")?.to_le_bytes());
    put(&mut sector, STAGE2_UNITS, &units.to_le_bytes());
    put(&mut sector, UNIT_SHIFT, &[if medium == BiosMedium::Cd { 2 } else { 0 }]);
    Ok(sector)
}

/// Stage 2, padded to blocks: its size depends on the length of `command_line` alone.
///
/// # Errors
/// When a file is not below 2 TiB of the medium or is 4 GiB or larger, or the command line is longer than 2047 bytes.
pub fn bios_stage2(kernel: BiosFile, initrd: Option<BiosFile>, command_line: &[u8]) -> Result<Vec<u8>, Error> {
    if command_line.len() > MAX_COMMAND_LINE {
        return Err(Error::CommandLineTooLong { len: command_line.len(), limit: MAX_COMMAND_LINE });
    }
    let mut stage2 = PROGRAM[SECTOR0..].to_vec();
    put(&mut stage2, KERNEL, &kernel.fields("kernel")?);
    if let Some(initrd) = initrd {
        put(&mut stage2, INITRD, &initrd.fields("initrd")?);
    }
    let size = u16::try_from(command_line.len() + 1).expect("the command line was measured");
    put(&mut stage2, COMMAND_SIZE, &size.to_le_bytes());
    stage2.extend_from_slice(command_line);
    stage2.push(0);
    stage2.resize(stage2.len().next_multiple_of(BLOCK), 0);
    Ok(stage2)
}

impl BiosFile {
    fn unit(self, part: &'static str) -> Result<u32, Error> {
        let unit = u32::try_from(self.offset / UNIT).ok().filter(|_| self.offset.is_multiple_of(BLOCK as u64));
        unit.ok_or_else(|| self.beyond(part))
    }

    /// Place and size, as they stand in stage 2.
    fn fields(self, part: &'static str) -> Result<[u8; 8], Error> {
        let size = u32::try_from(self.size).map_err(|_| self.beyond(part))?;
        let mut fields = [0; 8];
        put(&mut fields, 0, &self.unit(part)?.to_le_bytes());
        put(&mut fields, 4, &size.to_le_bytes());
        Ok(fields)
    }

    const fn beyond(self, part: &'static str) -> Error {
        Error::BeyondBios { part, offset: self.offset, size: self.size }
    }
}

fn put(program: &mut [u8], at: usize, field: &[u8]) {
    program[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL_FILE: BiosFile = BiosFile { offset: 1 << 20, size: 8_000_001 };

    #[test]
    fn fields_are_free_in_the_program_as_it_is_built() {
        assert_eq!(PROGRAM[STAGE2_UNIT - 4..SECTOR0 - 2], [0; 90]);
        assert_eq!(PROGRAM[510..], [[0x55, 0xaa].as_slice(), &PROGRAM[512..]].concat());
        assert_eq!(PROGRAM[514..536], [b"LKB2".as_slice(), &[0; 18]].concat());
        assert_eq!(PROGRAM[538..540], [0; 2]);
        let text = u16::from_le_bytes([PROGRAM[536], PROGRAM[537]]);
        assert_eq!(usize::from(text), 0x8000 + PROGRAM.len() - SECTOR0, "the command line stands behind the code");
    }

    #[test]
    fn a_boot_sector_tells_where_stage_2_is() {
        let sector = bios_boot_sector(BiosMedium::Disk, 64 * 512, 2048).unwrap();
        assert_eq!(sector[STAGE2_UNIT..][..8], [64, 0, 0, 0, 4, 0, 0, 0]);
        let sector = bios_boot_sector(BiosMedium::Cd, 0x1234_5000, 2049).unwrap();
        assert_eq!(sector[STAGE2_UNIT..][..8], [0x28, 0x1a, 0x09, 0, 8, 0, 2, 0]);
        assert!(bios_boot_sector(BiosMedium::Disk, 512, 2048).is_err());
    }

    #[test]
    fn stage_2_tells_where_the_files_are() {
        let initrd = BiosFile { offset: 1 << 30, size: 5 };
        let stage2 = bios_stage2(KERNEL_FILE, Some(initrd), b"quiet").unwrap();
        assert_eq!(stage2[8..16], [0, 8, 0, 0, 0x01, 0x12, 0x7a, 0]);
        assert_eq!(stage2[16..28], [0, 0, 0x20, 0, 5, 0, 0, 0, stage2[24], stage2[25], 6, 0]);
        let text = PROGRAM.len() - SECTOR0;
        assert_eq!(&stage2[text..text + 6], b"quiet\0");
        assert!(stage2.len().is_multiple_of(2048));
        let alone = bios_stage2(KERNEL_FILE, None, b"quiet").unwrap();
        assert_eq!(alone[16..24], [0; 8]);
    }

    #[test]
    fn what_a_bios_cannot_reach_is_refused() {
        let far = BiosFile { offset: 1 << 41, size: 1 };
        let error = bios_stage2(far, None, b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel (1 bytes at offset 2199023255552) is beyond what the BIOS loader can read"
        );
        let large = BiosFile { offset: 0, size: 1 << 32 };
        assert!(bios_stage2(KERNEL_FILE, Some(large), b"").is_err());
        let long = bios_stage2(KERNEL_FILE, None, &[b'x'; 2048]).unwrap_err();
        assert_eq!(long, Error::CommandLineTooLong { len: 2048, limit: 2047 });
        assert!(bios_stage2(KERNEL_FILE, None, &[b'x'; 2047]).unwrap().len() <= 8192);
    }
}
