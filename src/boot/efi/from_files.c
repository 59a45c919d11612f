// Parts as files \cmdline, \kernel and \initrd.img on the file system the loader was started from: disks and CDs.
#include "parts.h"

#define READ_ONLY 1ull
#define TO_THE_END ~0ull

static const struct guid file_system_protocol = FILE_SYSTEM_PROTOCOL;

// A missing file is a part of size 0.
static status open_part(struct file *root, const u16 *name, struct part *part)
{
    status failure = root->open(root, &part->file, name, READ_ONLY, 0);
    if (failure == NOT_FOUND)
        return 0;
    if (failure || (failure = part->file->set_position(part->file, TO_THE_END)))
        return failure;
    return part->file->get_position(part->file, &part->size);
}

status find_parts(struct system_table *system, struct loaded_image *self, struct parts *parts)
{
    struct file_system *volume;
    struct file *root;
    status failure = system->boot->handle_protocol(self->device, &file_system_protocol, &volume);
    if (failure || (failure = volume->open_volume(volume, &root)))
        return failure;
    parts->initrd_option = u" initrd=\\initrd.img";
    (failure = open_part(root, u"\\cmdline", &parts->command_line)) ||
        (failure = open_part(root, u"\\kernel", &parts->kernel)) ||
        (failure = open_part(root, u"\\initrd.img", &parts->initrd));
    return failure;
}

status read_part(struct part *part, u64 offset, void *to, u64 size)
{
    const u64 most = 4 << 20; // some drivers fail on very long reads
    u8 *next = to;
    if (!size)
        return 0; // there may be no file
    status failure = part->file->set_position(part->file, offset);
    while (!failure && size) {
        u64 count = size < most ? size : most;
        failure = part->file->read(part->file, &count, next);
        if (!failure && !count)
            failure = END_OF_FILE;
        next += count;
        size -= count;
    }
    return failure;
}
