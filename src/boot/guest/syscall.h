/* System calls of Linux on x86-64 and arm64: numbers of asm/unistd_64.h and asm-generic/unistd.h. */
#ifndef SYSCALL_H
#define SYSCALL_H

#define AT_FDCWD (-100L)
#define O_RDONLY 0
#define MS_RDONLY 1UL
#define MS_NOSUID 2UL
#define MS_MOVE 8192UL
#define ENOENT 2
#define ENXIO 6
#define ENOEXEC 8
#define EACCES 13
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define EPROTO 71
#define STATX_BASIC 0x7ff

/* The first fields of linux/stat.h's, which has 256 bytes. */
struct statx {
    unsigned mask, blksize;
    unsigned long long attributes;
    unsigned nlink, uid, gid;
    unsigned short mode, spare;
    char rest[224];
};

#ifdef HOSTED
/* A test stands for the kernel. */
long call(long number, long a, long b, long c, long d, long e);
#endif

#ifdef __x86_64__
enum {
    SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_ioctl = 16, SYS_nanosleep = 35, SYS_socket = 41, SYS_connect = 42,
    SYS_sendmsg = 46, SYS_bind = 49, SYS_setsockopt = 54, SYS_execve = 59, SYS_chdir = 80, SYS_chroot = 161,
    SYS_mount = 165, SYS_umount2 = 166, SYS_reboot = 169, SYS_openat = 257, SYS_mkdirat = 258, SYS_fchownat = 260,
    SYS_unlinkat = 263, SYS_fchmodat = 268, SYS_finit_module = 313, SYS_getrandom = 318, SYS_statx = 332,
};

#ifndef HOSTED
static inline long call(long number, long a, long b, long c, long d, long e) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall run\n");
#endif
#else
enum {
    SYS_ioctl = 29, SYS_mkdirat = 34, SYS_unlinkat = 35, SYS_umount2 = 39, SYS_mount = 40, SYS_chdir = 49,
    SYS_chroot = 51, SYS_fchmodat = 53, SYS_fchownat = 54, SYS_openat = 56, SYS_close = 57, SYS_read = 63,
    SYS_write = 64, SYS_nanosleep = 101, SYS_reboot = 142, SYS_socket = 198, SYS_bind = 200, SYS_connect = 203,
    SYS_setsockopt = 208, SYS_sendmsg = 211, SYS_execve = 221, SYS_finit_module = 273, SYS_getrandom = 278,
    SYS_statx = 291,
};

#ifndef HOSTED
static inline long call(long number, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}

__asm__(".globl _start\n_start: mov x0, sp\nbl run\n");
#endif
#endif
#endif
