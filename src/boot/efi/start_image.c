// Starts a kernel that is itself an EFI program ("EFI stub"), on any architecture.
//
// The kernel gets its command line as load options. It asks for its initrd through the LoadFile2 protocol on a device
// path the kernel defines, so that the initrd goes straight to where the kernel wants it and is in memory once.
#include "memory.h"
#include "parts.h"
#include "pe.h"

static const struct guid loaded_image_protocol = LOADED_IMAGE_PROTOCOL;
static const struct guid device_path_protocol = DEVICE_PATH_PROTOCOL;
static const struct guid load_file2_protocol = LOAD_FILE2_PROTOCOL;

// Linux include/linux/efi.h, LINUX_EFI_INITRD_MEDIA_GUID: a vendor-defined media path, and its end.
static const struct {
    struct path_node vendor;
    struct guid guid;
    struct path_node end;
} initrd_path = {
    {4, 3, sizeof(struct path_node) + sizeof(struct guid)},
    {0x5568e427, 0x68fc, 0x4f3d, {0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68}},
    {0x7f, 0xff, sizeof(struct path_node)},
};

static struct parts parts;
static struct load_file2 initrd_loader;

// What the kernel calls: first without a buffer, to learn the size.
static status load_initrd(struct load_file2 *this, void *path, u8 boot_policy, u64 *size, void *to)
{
    (void)path;
    if (this != &initrd_loader || !size)
        return INVALID_PARAMETER;
    if (boot_policy)
        return UNSUPPORTED;
    const u64 offered = *size;
    *size = parts.initrd.size;
    if (!to || offered < parts.initrd.size)
        return BUFFER_TOO_SMALL;
    return read_part(&parts.initrd, 0, to, parts.initrd.size);
}

static status offer_initrd(struct system_table *system)
{
    void *handle = 0;
    initrd_loader.load_file = load_initrd;
    status failure = system->boot->install_protocol(&handle, &device_path_protocol, 0, &initrd_path);
    if (failure)
        return failure;
    return system->boot->install_protocol(&handle, &load_file2_protocol, 0, &initrd_loader);
}

// Load options are UTF-16 and a command line is UTF-8. What is no UTF-8 comes out wrong, but never longer.
static u16 *widen(const u8 *text, const u8 *end, u16 *to)
{
    while (text < end) {
        u32 byte = *text++;
        u32 more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc0 ? 1 : 0;
        u32 point = more ? byte & (0x3f >> more) : byte;
        for (; more && text < end; more--)
            point = point << 6 | (*text++ & 0x3f);
        if (point >= 0x10000) {
            *to++ = 0xd7c0 + (point >> 10);
            point = 0xdc00 | (point & 0x3ff);
        }
        *to++ = point;
    }
    return to;
}

static status set_options(struct system_table *system, struct loaded_image *kernel, const u16 *initrd_option)
{
    u64 size = parts.command_line.size;
    u8 *text;
    u16 *options;
    status failure = system->boot->allocate_pool(LOADER_DATA, size + 1, (void **)&text);
    if (failure || (failure = read_part(&parts.command_line, 0, text, size)))
        return failure;
    while (size && text[size - 1] <= ' ')
        size--;
    if ((failure = system->boot->allocate_pool(LOADER_DATA, 2 * size + 64, (void **)&options)))
        return failure;
    u16 *end = widen(text, text + size, options);
    while (initrd_option && *initrd_option)
        *end++ = *initrd_option++;
    *end++ = 0;
    kernel->options = options;
    kernel->options_size = (u32)((u8 *)end - (u8 *)options);
    return system->boot->free_pool(text);
}

// Lets firmware check and place the kernel. Firmware reads it from memory: a file is read there, and given back.
static status load_kernel(struct system_table *system, void *self, struct loaded_image *own, void **kernel)
{
    const u64 size = parts.kernel.size;
    u64 buffer = 0;
    if (parts.kernel.memory)
        return system->boot->load_image(0, self, own->file_path, parts.kernel.memory, size, kernel);
    status failure = system->boot->allocate_pages(ANY_PAGES, LOADER_DATA, pages_of(size), &buffer);
    if (failure || (failure = read_part(&parts.kernel, 0, (void *)buffer, size)))
        return failure;
    failure = system->boot->load_image(0, self, own->file_path, (void *)buffer, size, kernel);
    system->boot->free_pages(buffer, pages_of(size));
    return failure;
}

status efi_main(void *self, struct system_table *system)
{
    struct boot_services *boot = system->boot;
    struct loaded_image *own, *loaded;
    void *kernel;
    status failure = boot->handle_protocol(self, &loaded_image_protocol, &own);
    if (failure || (failure = find_parts(system, own, &parts)))
        return report(system, failure, u"lkit: cannot find what to start\r\n");
    if (!parts.kernel.size)
        return report(system, NOT_FOUND, u"lkit: there is no kernel\r\n");
    boot->set_watchdog_timer(0, 0, 0, 0); // slow media may take longer than its five minutes
    if ((failure = load_kernel(system, self, own, &kernel)) ||
        (failure = boot->handle_protocol(kernel, &loaded_image_protocol, &loaded)))
        return report(system, failure, u"lkit: firmware cannot load the kernel\r\n");
    loaded->device = own->device; // where a kernel before 5.8 looks for the file its `initrd=` names
    const int takes_load_file2 = pe_image_version(pe_header(loaded->base)) > 0;
    if (parts.initrd.size && !takes_load_file2 && !parts.initrd_option)
        return report(system, UNSUPPORTED, u"lkit: the kernel is too old for its initrd to be in one file with it\r\n");
    const int needs_option = parts.initrd.size && !takes_load_file2;
    if ((failure = set_options(system, loaded, needs_option ? parts.initrd_option : 0)))
        return report(system, failure, u"lkit: cannot pass the command line\r\n");
    if (parts.initrd.size && (failure = offer_initrd(system)))
        return report(system, failure, u"lkit: cannot offer the initrd\r\n");
    failure = boot->start_image(kernel, 0, 0);
    return report(system, failure, u"lkit: the kernel came back\r\n");
}
