// Starts an x86-64 kernel that is no EFI program (CONFIG_EFI_STUB is not set), by Linux' 64-bit boot protocol.
//
// It does what the kernel's own EFI stub would do: it places kernel, command line and initrd, describes the screen and
// the memory in the "zero page", takes the machine over from firmware, and jumps to the kernel's 64-bit entry.
#include "linux.h"
#include "memory.h"
#include "parts.h"

static const struct guid loaded_image_protocol = LOADED_IMAGE_PROTOCOL;

// UEFI section 12.9: the screen.
static const struct guid graphics_protocol = {0x9042a9de, 0x23dc, 0x4a38, {0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a}};
struct graphics_mode {
    u32 version, width, height;
    u32 format; // 0 is red first, 1 is blue first
    u32 masks[4], pixels_per_line;
};
struct graphics {
    void *query_mode, *set_mode, *blt;
    struct {
        u32 most, mode;
        struct graphics_mode *current;
        u64 size_of_current, framebuffer, framebuffer_size;
    } *mode;
};

// UEFI section 7.2: what memory may be used for.
static const struct guid memory_attribute_protocol = {0xf4560cf6, 0x40ec, 0x4b4a, {0xa1, 0x92, 0xbf, 0x1d, 0x57, 0xd0, 0xb1, 0x89}};
#define EXECUTE_PROTECT 0x4000
#define READ_ONLY_MEMORY 0x20000
struct memory_attribute {
    void *get;
    void *set;
    status (*clear)(struct memory_attribute *this, u64 start, u64 size, u64 attributes);
};

// UEFI section 4.6.
static const struct guid acpi_2 = {0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};

// What was placed for the kernel; addresses.
struct launch {
    u8 *zero_page;
    u64 kernel;
    u64 memory_map, memory_map_room; // room in bytes
    struct setup_data *more_memory;
};

static struct system_table *system;
static struct parts parts;

// Pages below `limit` (an address that may be used), or at any address when it is 0.
static status allocate(u64 size, u64 limit, enum memory_type type, u64 *address)
{
    *address = limit;
    return system->boot->allocate_pages(limit ? PAGES_BELOW : ANY_PAGES, type, pages_of(size), address);
}

static status check_header(const u8 *header)
{
    const int complete = AT(header, HEADER_MAGIC, u32) == 0x53726448 && AT(header, VERSION, u16) >= 0x20c;
    return complete && AT(header, XLOADFLAGS, u16) & XLF_KERNEL_64 ? 0 : UNSUPPORTED;
}

// Kernels that may not be moved run at one address. Others may run where nothing else is, if it is aligned.
static status allocate_kernel(const u8 *header, u64 size, u64 *address)
{
    const u64 alignment = AT(header, KERNEL_ALIGNMENT, u32);
    *address = AT(header, PREF_ADDRESS, u64);
    status failure = system->boot->allocate_pages(PAGES_AT, LOADER_CODE, pages_of(size), address);
    if (!failure || !AT(header, RELOCATABLE_KERNEL, u8))
        return failure;
    failure = allocate(size + alignment, 0xffffffff, LOADER_CODE, address);
    *address = (*address + alignment - 1) & ~(alignment - 1);
    return failure;
}

static status place_kernel(struct launch *launch, const u8 *header)
{
    const u64 setup = ((header[SETUP_SECTS] ? header[SETUP_SECTS] : 4) + 1) * 512;
    if (parts.kernel.size <= setup)
        return LOAD_ERROR;
    const u64 size = parts.kernel.size - setup;
    const u64 room = AT(header, INIT_SIZE, u32) > size ? AT(header, INIT_SIZE, u32) : size;
    status failure = allocate_kernel(header, room, &launch->kernel);
    if (failure || (failure = read_part(&parts.kernel, setup, (void *)launch->kernel, size)))
        return failure;
    // Strict firmware lets nobody execute what was written, or write what may be executed; the kernel does both.
    struct memory_attribute *attributes;
    if (!system->boot->locate_protocol(&memory_attribute_protocol, 0, &attributes))
        failure = attributes->clear(attributes, launch->kernel, pages_of(room) * PAGE, EXECUTE_PROTECT | READ_ONLY_MEMORY);
    return failure;
}

static status place_command_line(struct launch *launch)
{
    u64 size = parts.command_line.size, most = AT(launch->zero_page, CMDLINE_SIZE, u32), address;
    if (size > most)
        size = most;
    status failure = allocate(size + 1, 0xffffffff, LOADER_DATA, &address);
    u8 *text = (u8 *)address;
    if (failure || (failure = read_part(&parts.command_line, 0, text, size)))
        return failure;
    while (size && text[size - 1] <= ' ')
        size--;
    text[size] = 0;
    AT(launch->zero_page, CMD_LINE_PTR, u32) = (u32)address;
    return 0;
}

static status place_initrd(struct launch *launch)
{
    u8 *zero_page = launch->zero_page;
    const u64 size = parts.initrd.size;
    const int anywhere = AT(zero_page, XLOADFLAGS, u16) & XLF_CAN_BE_LOADED_ABOVE_4G;
    u64 address;
    if (!size)
        return 0;
    status failure = allocate(size, anywhere ? 0 : AT(zero_page, INITRD_ADDR_MAX, u32), LOADER_DATA, &address);
    if (failure || (failure = read_part(&parts.initrd, 0, (void *)address, size)))
        return failure;
    AT(zero_page, RAMDISK_IMAGE, u32) = (u32)address;
    AT(zero_page, RAMDISK_IMAGE_HIGH, u32) = (u32)(address >> 32);
    AT(zero_page, RAMDISK_SIZE, u32) = (u32)size;
    AT(zero_page, RAMDISK_SIZE_HIGH, u32) = (u32)(size >> 32);
    return 0;
}

// A screen whose pixels are 4 bytes is handed over; without one the kernel has its serial consoles.
static void describe_screen(u8 *zero_page)
{
    struct graphics *graphics;
    if (system->boot->locate_protocol(&graphics_protocol, 0, &graphics) || graphics->mode->current->format > 1)
        return;
    const struct graphics_mode *mode = graphics->mode->current;
    const u64 framebuffer = graphics->mode->framebuffer;
    const u8 blue_first = (u8)mode->format;
    const u8 masks[8] = {8, blue_first ? 16 : 0, 8, 8, 8, blue_first ? 0 : 16, 8, 24};
    AT(zero_page, VIDEO_TYPE, u8) = VIDEO_TYPE_EFI;
    AT(zero_page, VIDEO_WIDTH, u16) = (u16)mode->width;
    AT(zero_page, VIDEO_HEIGHT, u16) = (u16)mode->height;
    AT(zero_page, VIDEO_DEPTH, u16) = 32;
    AT(zero_page, VIDEO_BASE, u32) = (u32)framebuffer;
    AT(zero_page, VIDEO_BASE_HIGH, u32) = (u32)(framebuffer >> 32);
    AT(zero_page, VIDEO_SIZE, u32) = (u32)graphics->mode->framebuffer_size;
    AT(zero_page, VIDEO_PITCH, u16) = (u16)(mode->pixels_per_line * 4);
    AT(zero_page, VIDEO_CAPABILITIES, u32) = VIDEO_CAPABILITY_64BIT_BASE;
    copy(zero_page + VIDEO_MASKS, masks, sizeof masks);
}

static int same_guid(const struct guid *a, const struct guid *b)
{
    return AT(a, 0, const u64) == AT(b, 0, const u64) && AT(a, 8, const u64) == AT(b, 8, const u64);
}

// A kernel without CONFIG_EFI cannot find the ACPI tables itself.
static void describe_acpi(u8 *zero_page)
{
    for (u64 entry = 0; entry < system->configuration_entries; entry++)
        if (same_guid(&system->configuration[entry].kind, &acpi_2))
            AT(zero_page, ACPI_RSDP, u64) = (u64)system->configuration[entry].table;
}

// Room for the memory map and for its translation. Both are needed when nothing can be allocated any more.
static status prepare_memory_map(struct launch *launch)
{
    u64 size = 0, key, entry_size, address;
    u32 version;
    status failure = system->boot->get_memory_map(&size, 0, &key, &entry_size, &version);
    if (failure != BUFFER_TOO_SMALL)
        return failure ? failure : LOAD_ERROR;
    launch->memory_map_room = size + 64 * entry_size; // the allocations here and handlers of the exit add entries
    const u64 translated = sizeof *launch->more_memory + launch->memory_map_room / entry_size * sizeof(struct e820_entry);
    if ((failure = allocate(launch->memory_map_room, 0xffffffff, LOADER_DATA, &launch->memory_map)) ||
        (failure = allocate(translated, 0xffffffff, LOADER_DATA, &address)))
        return failure;
    launch->more_memory = (struct setup_data *)address;
    return 0;
}

// Linux arch/x86/boot/compressed and drivers/firmware/efi/libstub/x86-stub.c translate alike.
static u32 e820_type(u32 type)
{
    switch (type) {
    case 1: case 2: case 3: case 4: case 7: // loader, boot services, free
        return E820_RAM;
    case 8:
        return E820_UNUSABLE;
    case 9:
        return E820_ACPI;
    case 10:
        return E820_NVS;
    case 14:
        return E820_PERSISTENT;
    default:
        return E820_RESERVED;
    }
}

// Fills the zero page's table, and what does not fit there into the list behind it.
static void describe_memory(struct launch *launch, u64 map_size, u64 entry_size)
{
    struct e820_entry *last = 0, *table = (struct e820_entry *)(launch->zero_page + E820_TABLE);
    u32 count = 0;
    for (u64 at = launch->memory_map; at + entry_size <= launch->memory_map + map_size; at += entry_size) {
        const struct memory_descriptor *entry = (const void *)at;
        const u32 type = e820_type(entry->type);
        if (last && last->type == type && last->start + last->size == entry->start) {
            last->size += entry->pages * PAGE;
            continue;
        }
        last = count < E820_MOST ? table + count : launch->more_memory->entries + (count - E820_MOST);
        *last = (struct e820_entry){entry->start, entry->pages * PAGE, type};
        count++;
    }
    AT(launch->zero_page, E820_ENTRIES, u8) = (u8)(count < E820_MOST ? count : E820_MOST);
    if (count <= E820_MOST)
        return;
    launch->more_memory->next = AT(launch->zero_page, SETUP_DATA, u64);
    launch->more_memory->type = SETUP_E820_EXT;
    launch->more_memory->size = (count - E820_MOST) * sizeof(struct e820_entry);
    AT(launch->zero_page, SETUP_DATA, u64) = (u64)launch->more_memory;
}

// Ends firmware's rule. The memory map must be the last it gave: if something changed it meanwhile, try again.
static status leave_firmware(void *self, struct launch *launch)
{
    u8 *zero_page = launch->zero_page;
    u64 size, key, entry_size;
    u32 version;
    status failure = LOAD_ERROR;
    for (int tries = 0; failure && tries < 8; tries++) {
        size = launch->memory_map_room;
        failure = system->boot->get_memory_map(&size, (void *)launch->memory_map, &key, &entry_size, &version);
        if (failure)
            return failure;
        failure = system->boot->exit_boot_services(self, key);
    }
    if (failure)
        return failure;
    describe_memory(launch, size, entry_size);
    AT(zero_page, EFI_SIGNATURE, u32) = 0x34364c45; // "EL64"
    AT(zero_page, EFI_SYSTEM_TABLE, u32) = (u32)(u64)system;
    AT(zero_page, EFI_SYSTEM_TABLE_HIGH, u32) = (u32)((u64)system >> 32);
    AT(zero_page, EFI_ENTRY_SIZE, u32) = (u32)entry_size;
    AT(zero_page, EFI_ENTRY_VERSION, u32) = version;
    AT(zero_page, EFI_MAP, u32) = (u32)launch->memory_map;
    AT(zero_page, EFI_MAP_HIGH, u32) = (u32)(launch->memory_map >> 32);
    AT(zero_page, EFI_MAP_SIZE, u32) = (u32)size;
    return 0;
}

// "64-bit Boot Protocol": interrupts off, flat segments 0x10 (code) and 0x18 (data), the zero page in rsi.
static _Noreturn void jump(const struct launch *launch)
{
    static const u64 segments[4] = {0, 0, 0x00af9a000000ffff, 0x00cf92000000ffff};
    const struct __attribute__((packed)) {
        u16 limit;
        const u64 *base;
    } gdt = {sizeof segments - 1, segments};
    __asm__ volatile("cli\n\t"
                     "lgdt %0\n\t"
                     "movl $0x18, %%eax\n\t"
                     "movl %%eax, %%ds\n\t"
                     "movl %%eax, %%es\n\t"
                     "movl %%eax, %%ss\n\t"
                     "pushq $0x10\n\t"
                     "pushq %1\n\t"
                     "lretq"
                     :
                     : "m"(gdt), "r"(launch->kernel + ENTRY_64), "S"(launch->zero_page)
                     : "rax", "memory");
    __builtin_unreachable();
}

// The zero page begins as a copy of the kernel's setup header.
static status prepare_zero_page(struct launch *launch, const u8 *header)
{
    u64 address;
    status failure = allocate(ZERO_PAGE_SIZE, 0xffffffff, LOADER_DATA, &address);
    if (failure)
        return failure;
    u8 *zero_page = launch->zero_page = (u8 *)address;
    clear(zero_page, ZERO_PAGE_SIZE);
    const u64 end = HEADER_MAGIC + header[HEADER_JUMP + 1];
    copy(zero_page + SETUP_HEADER, header + SETUP_HEADER, end - SETUP_HEADER);
    AT(zero_page, TYPE_OF_LOADER, u8) = 0xff;
    AT(zero_page, VID_MODE, u16) = 0xffff;
    AT(zero_page, CODE32_START, u32) = (u32)launch->kernel;
    describe_screen(zero_page);
    describe_acpi(zero_page);
    return 0;
}

status efi_main(void *self, struct system_table *given)
{
    static u8 header[1024];
    struct launch launch;
    struct loaded_image *own;
    system = given;
    status failure = system->boot->handle_protocol(self, &loaded_image_protocol, &own);
    if (failure || (failure = find_parts(system, own, &parts)))
        return report(system, failure, u"lkit: cannot find what to start\r\n");
    if (parts.kernel.size < sizeof header)
        return report(system, NOT_FOUND, u"lkit: there is no kernel\r\n");
    system->boot->set_watchdog_timer(0, 0, 0, 0); // slow media may take longer than its five minutes
    if ((failure = read_part(&parts.kernel, 0, header, sizeof header)) || (failure = check_header(header)))
        return report(system, failure, u"lkit: the kernel is no 64-bit bzImage\r\n");
    if ((failure = place_kernel(&launch, header)) || (failure = prepare_zero_page(&launch, header)) ||
        (failure = place_command_line(&launch)))
        return report(system, failure, u"lkit: cannot load the kernel\r\n");
    if ((failure = place_initrd(&launch)))
        return report(system, failure, u"lkit: cannot load the initrd\r\n");
    if ((failure = prepare_memory_map(&launch)) || (failure = leave_firmware(self, &launch)))
        return report(system, failure, u"lkit: firmware does not let go\r\n");
    jump(&launch);
}
