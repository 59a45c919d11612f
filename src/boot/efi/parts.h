// What a loader starts: a command line, a kernel and an initrd, wherever they come from.
#pragma once

#include "efi.h"

struct part {
    u64 size;          // in bytes; 0 where there is no such part
    const u8 *memory;  // where it is, if it is in memory
    struct file *file; // what to read, if it is a file
};

struct parts {
    struct part command_line, kernel, initrd;
    const u16 *initrd_option; // what tells a kernel before 5.8 where its initrd is, or null if nothing can
};

// Finds the parts. from_files.c takes them from the loader's own file system, from_sections.c from its own image.
status find_parts(struct system_table *system, struct loaded_image *self, struct parts *parts);

// Copies `size` bytes of a part from `offset` to `to`.
status read_part(struct part *part, u64 offset, void *to, u64 size);
