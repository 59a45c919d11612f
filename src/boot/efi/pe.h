// The part of the PE32+ format that tells a program's sections and version (Microsoft "PE Format").
#pragma once

#include "efi.h"

struct section {
    u64 name;
    u32 memory_size, address, file_size, file_offset;
    u32 unused[4];
};

#define SECTION_NAME(a, b, c, d, e, f, g, h)                                                                          \
    ((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 | (u64)(g) << 48 |  \
     (u64)(h) << 56)

static inline const u8 *pe_header(const u8 *image)
{
    return image + *(const u32 *)(image + 0x3c);
}

static inline u32 pe_section_count(const u8 *pe)
{
    return *(const u16 *)(pe + 6);
}

static inline const struct section *pe_sections(const u8 *pe)
{
    return (const struct section *)(pe + 24 + *(const u16 *)(pe + 20));
}

// "MajorImageVersion": of a kernel, the version of its EFI stub.
static inline u16 pe_image_version(const u8 *pe)
{
    return *(const u16 *)(pe + 24 + 44);
}
