//! ISOLINUX of the syslinux project on an ISO: what is patched into its files, and what it reads.
//!
//! # Format
//! syslinux `doc/isolinux.txt` and `core/isolinux.asm` (boot information table), `mbr/isohdpfx.S` (hybrid boot code).

use super::{INITRD_FILE, KERNEL_FILE};

/// Where ISOLINUX looks for its files.
pub const ISOLINUX_MODULE: &str = "isolinux/ldlinux.c32";
/// Its configuration.
pub const ISOLINUX_CONFIG: &str = "isolinux/isolinux.cfg";

/// The boot information table is at byte 8; its checksum begins behind it.
const TABLE: usize = 8;
const CHECKED: usize = 64;
/// The logical block of the primary volume descriptor.
const DESCRIPTOR: u32 = 16;
/// Where the hybrid boot code keeps the first sector of `isolinux.bin`, behind its 432 bytes.
const HYBRID_SECTOR: usize = 432;

/// `isolinux.bin` for a place on an ISO, in bytes; `None` when it is too short to be that.
pub fn isolinux_image(program: &[u8], offset: u64) -> Option<Vec<u8>> {
    let checked = program.get(CHECKED..)?;
    let words = checked.chunks(4).map(|word| {
        let mut bytes = [0; 4];
        bytes[..word.len()].copy_from_slice(word);
        u32::from_le_bytes(bytes)
    });
    let checksum = words.fold(0_u32, u32::wrapping_add);
    let fields = [DESCRIPTOR, u32::try_from(offset / 2048).ok()?, u32::try_from(program.len()).ok()?, checksum];
    let mut image = program.to_vec();
    image[TABLE..CHECKED].fill(0);
    image[TABLE..TABLE + 16].copy_from_slice(fields.map(u32::to_le_bytes).as_flattened());
    Some(image)
}

/// Boot code that starts `isolinux.bin` at a place of a USB stick, in bytes; `None` when `code` is not hybrid boot code.
pub fn isolinux_boot_code(code: &[u8], offset: u64) -> Option<Vec<u8>> {
    (code.len() == HYBRID_SECTOR).then(|| [code, &(offset / 512).to_le_bytes()].concat())
}

/// The configuration: what is started at once.
pub fn isolinux_config(command_line: &[u8]) -> Vec<u8> {
    let mut text = format!("DEFAULT linux\nLABEL linux\n KERNEL /{KERNEL_FILE}\n INITRD /{INITRD_FILE}\n APPEND ");
    text.push_str(&String::from_utf8_lossy(command_line).replace('\n', " "));
    text.push('\n');
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_information_table_tells_place_size_and_checksum() {
        let mut program = vec![0xff; 70];
        program[64..].copy_from_slice(&[1, 0, 0, 0, 2, 1]);
        let image = isolinux_image(&program, 2048 * 300).unwrap();
        assert_eq!(image[..8], [0xff; 8]);
        assert_eq!(image[8..24], [16_u32, 300, 70, 1 + 0x102].map(u32::to_le_bytes).concat()[..]);
        assert!(image[24..64] == [0; 40] && image[64..] == program[64..]);
        assert_eq!((isolinux_image(&[0; 63], 0), isolinux_boot_code(&[0; 440], 0)), (None, None));
        assert_eq!(isolinux_boot_code(&[7; 432], 2048 * 300).unwrap()[432..], 1200_u64.to_le_bytes());
    }

    #[test]
    fn the_command_line_stays_one_line() {
        let text = String::from_utf8(isolinux_config(b"a b\nc")).unwrap();
        assert_eq!(text, "DEFAULT linux\nLABEL linux\n KERNEL /kernel\n INITRD /initrd.img\n APPEND a b c\n");
    }
}
