/* A kernel for the network code of the init in src/boot/guest: system calls as a test wants them, so that what servers send
 * can be anything.
 *
 * Every read takes its bytes from standard input, as far as they fit: two bytes of length, little endian, and that many
 * bytes; one of length 65535 or the end of the input is an error of that read. The one argument is what follows
 * `lkit.root=` (then a server of disks is asked), or `ip=` (then a card is given its address). What is told goes to
 * standard output, with the addresses that a card is given; the exit status is 0 for a success, 3 when the init gives up. */
#define HOSTED
#include "nbd.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sixteen bits of the socket that is read as a stream are left for the next read. */
static unsigned char left[65536];
static long left_len, left_at;
static int is_stream;

static long read_next(void *to, long room) {
    if (left_at == left_len || !is_stream) {
        int low = getchar(), high = getchar();
        left_len = left_at = 0;
        if (high == EOF || (low == 255 && high == 255))
            return -5;
        left_len = (long)fread(left, 1, (size_t)(low | high << 8), stdin);
    }
    long some = left_len - left_at < room ? left_len - left_at : room;
    memcpy(to, left + left_at, (size_t)some);
    left_at += some;
    return some;
}

static void show(const char *what, unsigned host) {
    const unsigned char *part = (const unsigned char *)&host;
    printf("%s %d.%d.%d.%d\n", what, part[0], part[1], part[2], part[3]);
}

static long card_call(unsigned long what, void *argument) {
    struct request *card = argument;
    static const unsigned char hardware[6] = {2, 0, 0, 0, 0, 1};
    switch (what) {
    case SIOCGIFNAME:
        if (card->value.index > 2)
            return -ENODEV;
        strcpy(card->name, card->value.index == 1 ? "lo" : "eth0");
        return 0;
    case SIOCGIFFLAGS:
        card->value.flags = strcmp(card->name, "lo") ? 0 : IFF_LOOPBACK;
        return 0;
    case SIOCGIFHWADDR:
        card->value.hardware.family = ARPHRD_ETHER;
        memcpy(card->value.hardware.bytes, hardware, 6);
        return 0;
    case SIOCSIFADDR:
        show("address", card->value.address.host);
        return 0;
    case SIOCSIFNETMASK:
        show("mask", card->value.address.host);
        return 0;
    case SIOCADDRT:
        show("gateway", ((struct route *)argument)->gateway.host);
        return 0;
    default:
        return 0;
    }
}

long call(long number, long a, long b, long c, long d, long e) {
    (void)d, (void)e;
    switch (number) {
    case SYS_read:
        return read_next((void *)b, c);
    case SYS_write:
        if (a == 1)
            fwrite((void *)b, 1, (size_t)c, stdout);
        return c;
    case SYS_socket:
        is_stream = a == AF_INET && b == SOCK_STREAM;
        return 10;
    case SYS_ioctl:
        return card_call((unsigned long)b, (void *)c);
    case SYS_getrandom:
        *(unsigned *)a = 0x04030201;
        return 4;
    case SYS_reboot:
        exit(3);
    default:
        return 0;
    }
}

int main(int count, char **arguments) {
    if (count != 2)
        return 2;
    /* As long as it is, so that a step behind its end is seen. */
    char *text = strdup(arguments[1]);
    if (strncmp(text, "nbd://", 6) == 0)
        attach(text);
    else
        start_network(text);
    free(text);
    return 0;
}
