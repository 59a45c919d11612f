// The part of Linux' x86 boot protocol that the direct loader uses: Documentation/arch/x86/boot.rst and zero-page.rst.
#pragma once

#include "efi.h"

#define AT(base, offset, type) (*(type *)((u8 *)(base) + (offset)))

// Of the "zero page" (struct boot_params).
#define ZERO_PAGE_SIZE 4096
#define VIDEO_MODE 0x06 // unused by framebuffers, kept for the map
#define VIDEO_TYPE 0x0f
#define VIDEO_TYPE_EFI 0x70
#define VIDEO_WIDTH 0x12
#define VIDEO_HEIGHT 0x14
#define VIDEO_DEPTH 0x16
#define VIDEO_BASE 0x18
#define VIDEO_SIZE 0x1c
#define VIDEO_PITCH 0x24
#define VIDEO_MASKS 0x26 // size and position of red, green, blue, reserved
#define VIDEO_CAPABILITIES 0x36
#define VIDEO_CAPABILITY_64BIT_BASE 2
#define VIDEO_BASE_HIGH 0x3a
#define ACPI_RSDP 0x70
#define RAMDISK_IMAGE_HIGH 0xc0
#define RAMDISK_SIZE_HIGH 0xc4
#define EFI_SIGNATURE 0x1c0
#define EFI_SYSTEM_TABLE 0x1c4
#define EFI_ENTRY_SIZE 0x1c8
#define EFI_ENTRY_VERSION 0x1cc
#define EFI_MAP 0x1d0
#define EFI_MAP_SIZE 0x1d4
#define EFI_SYSTEM_TABLE_HIGH 0x1d8
#define EFI_MAP_HIGH 0x1dc
#define E820_ENTRIES 0x1e8
#define E820_TABLE 0x2d0
#define E820_MOST 128u

// Of the setup header, which stands in the kernel file and in the zero page at the same offset.
#define SETUP_HEADER 0x1f1
#define SETUP_SECTS 0x1f1
#define VID_MODE 0x1fa
#define HEADER_JUMP 0x200 // the header ends as many bytes after 0x202 as the jump at 0x200 skips
#define HEADER_MAGIC 0x202
#define VERSION 0x206
#define TYPE_OF_LOADER 0x210
#define CODE32_START 0x214
#define RAMDISK_IMAGE 0x218
#define RAMDISK_SIZE 0x21c
#define CMD_LINE_PTR 0x228
#define INITRD_ADDR_MAX 0x22c
#define KERNEL_ALIGNMENT 0x230
#define RELOCATABLE_KERNEL 0x234
#define XLOADFLAGS 0x236
#define XLF_KERNEL_64 1
#define XLF_CAN_BE_LOADED_ABOVE_4G 2
#define CMDLINE_SIZE 0x238
#define SETUP_DATA 0x250
#define PREF_ADDRESS 0x258
#define INIT_SIZE 0x260
#define ENTRY_64 0x200 // from the start of the protected-mode part

enum e820_type { E820_RAM = 1, E820_RESERVED, E820_ACPI, E820_NVS, E820_UNUSABLE, E820_PERSISTENT = 7 };

struct __attribute__((packed)) e820_entry {
    u64 start, size;
    u32 type;
};

#define SETUP_E820_EXT 1
struct setup_data {
    u64 next;
    u32 type, size;
    struct e820_entry entries[];
};
