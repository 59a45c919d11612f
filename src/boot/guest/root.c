/* The init of the small initrd that `--root` makes: it loads drivers, mounts the root with an overlay in memory on it, and
 * starts the root's own init, as an initrd with that root would. The root is on the first virtio disk, or on the disk that
 * `lkit.root=nbd://ADDRESS:PORT/NAME` of the kernel command line names.
 *
 * `/plan` has the type of the file system on its first line, and on each line behind it the name of a module in
 * `/modules`, in the order in which they are loaded; those behind an empty line are for a disk behind the network alone.
 * The directories below are in the initrd. A root that cannot be mounted is told on the console and powers the machine
 * off, so that nobody waits for a boot that will not come.
 *
 * No C library: system calls alone. */
#include "nbd.h"

#define FLAGS_COMPRESSED 4 /* MODULE_INIT_COMPRESSED_FILE of linux/module.h */
#define TRIES 1000         /* ten seconds */

static char plan[16384], command_line[8192];

static long mount(const char *from, const char *to, const char *type, unsigned long flags, const char *data) {
    return call(SYS_mount, (long)from, (long)to, (long)type, (long)flags, (long)data);
}

static long mkdir(const char *path, long mode) { return call(SYS_mkdirat, AT_FDCWD, (long)path, mode, 0, 0); }

/* The end of a line, which is ended by a zero from now on; nothing at the end of the text. */
static char *line_end(char *line) {
    for (; *line; line++) {
        if (*line == '\n') {
            *line = 0;
            return line + 1;
        }
    }
    return 0;
}

/* Reads a small file as a text. */
static void read_file(const char *path, char *text, long room) {
    long file = call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0, 0);
    call(SYS_read, file, (long)text, room - 1, 0, 0);
    call(SYS_close, file, 0, 0, 0, 0);
}

static void load(const char *name) {
    static char path[512] = "/modules/";
    long at = sizeof("/modules/") - 1;
    while (*name && at < (long)sizeof(path) - 1)
        path[at++] = *name++;
    path[at] = 0;
    long file = call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0, 0);
    if (file < 0) {
        say_error("open module", path, -file);
        return;
    }
    long loaded = call(SYS_finit_module, file, (long)"", 0, 0, 0);
    if (loaded == -ENOEXEC)
        loaded = call(SYS_finit_module, file, (long)"", FLAGS_COMPRESSED, 0, 0);
    call(SYS_close, file, 0, 0, 0, 0);
    if (loaded < 0 && loaded != -EEXIST)
        say_error("load module", path, -loaded);
    call(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0);
}

/* The value of a word of the kernel command line, which begins with `name`; nothing where there is none. */
static char *word(const char *name) {
    for (char *at = command_line; *at;) {
        long same = 0;
        while (name[same] && name[same] == at[same])
            same++;
        if (!name[same])
            return at + same;
        while (*at > ' ')
            at++;
        while (*at && *at <= ' ')
            at++;
    }
    return 0;
}

static void read_command_line(void) {
    mount("proc", "/proc", "proc", 0, 0);
    read_file("/proc/cmdline", command_line, sizeof(command_line));
    call(SYS_umount2, (long)"/proc", 0, 0, 0, 0);
}

/* A disk appears some time after its driver. */
static void mount_disk(const char *disk, const char *type) {
    long mounted;
    for (int tries = 0; (mounted = mount(disk, "/lower", type, MS_RDONLY, 0)) < 0; tries++) {
        if ((mounted != -ENOENT && mounted != -ENXIO) || tries == TRIES)
            fail("mount the root on", disk, mounted);
        pause(10);
    }
}

/* Attaches the disk that the command line names; whether it names one. */
static int attach_far_disk(void) {
    char *url = word("lkit.root=nbd://"), *end = url;
    if (!url)
        return 0;
    start_network(word("ip="));
    for (url -= sizeof("nbd://") - 1; *end > ' '; end++)
        ;
    *end = 0;
    attach(url);
    return 1;
}

/* The upper directory gives the root its mode and owner. */
static void make_upper(void) {
    static struct statx root;
    mkdir("/writes/upper", 0755);
    mkdir("/writes/work", 0755);
    if (call(SYS_statx, AT_FDCWD, (long)"/lower", 0, STATX_BASIC, (long)&root) == 0) {
        call(SYS_fchownat, AT_FDCWD, (long)"/writes/upper", root.uid, root.gid, 0);
        call(SYS_fchmodat, AT_FDCWD, (long)"/writes/upper", root.mode & 07777, 0, 0);
    }
}

static void start(const char *init, char **arguments, char **environment) {
    arguments[0] = (char *)init;
    call(SYS_execve, (long)init, (long)arguments, (long)environment, 0, 0);
}

void run(long *stack) {
    char **arguments = (char **)(stack + 1), **environment = arguments + stack[0] + 1;
    mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    read_file("/plan", plan, sizeof(plan));
    read_command_line();
    int is_far = word("lkit.root=nbd://") != 0;
    char *type = plan, *line = line_end(plan);
    for (char *next; line && (next = line_end(line)) && (*line || is_far); line = next)
        if (*line)
            load(line);
    mount_disk(attach_far_disk() ? "/dev/nbd0" : "/dev/vda", type);
    long mounted = mount("writes", "/writes", "tmpfs", 0, "mode=0755");
    if (mounted < 0)
        fail("mount", "tmpfs", mounted);
    make_upper();
    mounted = mount("root", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/writes/upper,workdir=/writes/work");
    if (mounted < 0)
        fail("mount", "overlay", mounted);
    mkdir("/root/dev", 0755);
    mount("/dev", "/root/dev", 0, MS_MOVE, 0);
    call(SYS_unlinkat, AT_FDCWD, (long)"/init", 0, 0, 0);
    call(SYS_chdir, (long)"/root", 0, 0, 0, 0);
    mount(".", "/", 0, MS_MOVE, 0);
    call(SYS_chroot, (long)".", 0, 0, 0, 0);
    call(SYS_chdir, (long)"/", 0, 0, 0, 0);
    start("/init", arguments, environment);
    start("/sbin/init", arguments, environment);
    fail("start", "/init and /sbin/init", -ENOENT);
}
