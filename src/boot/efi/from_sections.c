// Parts as sections .cmdline, .linux and .initrd of the loader's own image: unified kernel images, one file to fetch.
#include "memory.h"
#include "parts.h"
#include "pe.h"

status find_parts(struct system_table *system, struct loaded_image *self, struct parts *parts)
{
    (void)system;
    const u8 *pe = pe_header(self->base);
    const struct section *section = pe_sections(pe);
    for (u32 left = pe_section_count(pe); left; left--, section++) {
        // The kernel's memory is larger than its file, so that firmware may have left it where it can run; the
        // others are as long as their content, of which the file is a multiple of 512.
        const struct part here = {.size = section->memory_size, .memory = self->base + section->address};
        if (section->name == SECTION_NAME('.', 'c', 'm', 'd', 'l', 'i', 'n', 'e'))
            parts->command_line = here;
        else if (section->name == SECTION_NAME('.', 'i', 'n', 'i', 't', 'r', 'd', 0))
            parts->initrd = here;
        else if (section->name == SECTION_NAME('.', 'l', 'i', 'n', 'u', 'x', 0, 0))
            parts->kernel = (struct part){.size = section->file_size, .memory = here.memory};
    }
    return 0;
}

status read_part(struct part *part, u64 offset, void *to, u64 size)
{
    copy(to, part->memory + offset, size);
    return 0;
}
