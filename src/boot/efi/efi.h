// The part of UEFI that the loaders use, written against the UEFI specification 2.10; names follow it in C style.
// Members that are not used are only there to take their place.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u64 status;

#define FAILURE(number) (1ull << 63 | (number))
#define LOAD_ERROR FAILURE(1)
#define INVALID_PARAMETER FAILURE(2)
#define UNSUPPORTED FAILURE(3)
#define BUFFER_TOO_SMALL FAILURE(5)
#define NOT_FOUND FAILURE(14)
#define END_OF_FILE FAILURE(31)

struct guid {
    u32 a;
    u16 b, c;
    u8 d[8];
};

// Section 10.2: the start of a node of a device path.
struct path_node {
    u8 type, subtype;
    u16 size;
};

struct table_header {
    u64 signature;
    u32 revision, size, crc32, reserved;
};

enum allocate_type { ANY_PAGES, PAGES_BELOW, PAGES_AT };
enum memory_type { LOADER_CODE = 1, LOADER_DATA = 2 };
#define PAGE 4096ull

// Section 7.2: an entry of the memory map; firmware may use longer ones.
struct memory_descriptor {
    u32 type;
    u64 start, virtual_start, pages, attributes;
};

// Section 4.4.
struct boot_services {
    struct table_header header;
    void *raise_tpl, *restore_tpl;
    status (*allocate_pages)(enum allocate_type how, enum memory_type type, u64 pages, u64 *address);
    status (*free_pages)(u64 address, u64 pages);
    status (*get_memory_map)(u64 *size, void *map, u64 *key, u64 *entry_size, u32 *entry_version);
    status (*allocate_pool)(enum memory_type type, u64 size, void **buffer);
    status (*free_pool)(void *buffer);
    void *create_event, *set_timer, *wait_for_event, *signal_event, *close_event, *check_event;
    status (*install_protocol)(void **handle, const struct guid *protocol, u32 native, const void *interface);
    void *reinstall_protocol, *uninstall_protocol;
    status (*handle_protocol)(void *handle, const struct guid *protocol, void *interface);
    void *reserved, *register_notify, *locate_handle, *locate_device_path, *install_configuration_table;
    status (*load_image)(u8 boot_policy, void *parent, const void *path, const void *from, u64 size, void **image);
    status (*start_image)(void *image, u64 *exit_size, u16 **exit_text);
    void *exit, *unload_image;
    status (*exit_boot_services)(void *image, u64 map_key);
    void *next_monotonic_count, *stall;
    status (*set_watchdog_timer)(u64 seconds, u64 code, u64 size, u16 *text);
    void *connect_controller, *disconnect_controller, *open_protocol, *close_protocol, *open_protocol_information;
    void *protocols_per_handle, *locate_handle_buffer;
    status (*locate_protocol)(const struct guid *protocol, void *registration, void *interface);
};

// Section 12.4.
struct text_output {
    void *reset;
    status (*output_string)(struct text_output *this, const u16 *text);
};

// Section 4.6.
struct configuration_table {
    struct guid kind;
    void *table;
};

// Section 4.3.
struct system_table {
    struct table_header header;
    void *vendor;
    u32 revision;
    void *input_handle, *input, *output_handle;
    struct text_output *output;
    void *error_handle, *error, *runtime;
    struct boot_services *boot;
    u64 configuration_entries;
    struct configuration_table *configuration;
};

// Section 9.1.
struct loaded_image {
    u32 revision;
    void *parent;
    struct system_table *system;
    void *device;
    struct path_node *file_path;
    void *reserved;
    u32 options_size;
    void *options;
    u8 *base;
    u64 size;
};
#define LOADED_IMAGE_PROTOCOL {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}}

#define DEVICE_PATH_PROTOCOL {0x09576e91, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}}

// Section 13.4 and 13.5.
struct file {
    u64 revision;
    status (*open)(struct file *this, struct file **file, const u16 *name, u64 mode, u64 attributes);
    status (*close)(struct file *this);
    void *delete;
    status (*read)(struct file *this, u64 *size, void *to);
    void *write;
    status (*get_position)(struct file *this, u64 *position);
    status (*set_position)(struct file *this, u64 position);
};
struct file_system {
    u64 revision;
    status (*open_volume)(struct file_system *this, struct file **root);
};
#define FILE_SYSTEM_PROTOCOL {0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}}

// Section 13.2.
struct load_file2 {
    status (*load_file)(struct load_file2 *this, void *path, u8 boot_policy, u64 *size, void *to);
};
#define LOAD_FILE2_PROTOCOL {0x4006c0c1, 0xfcb3, 0x403e, {0x99, 0x6d, 0x4a, 0x6c, 0x87, 0x24, 0xe0, 0x6d}}

// What each loader is made of.
status efi_main(void *image, struct system_table *system);

// Reports a failure on the console and passes it on.
static inline status report(struct system_table *system, status failure, const u16 *text)
{
    system->output->output_string(system->output, text);
    return failure;
}
