/* Network cards: found, brought up, and given an address, by DHCP (RFC 2131) or as `ip=` of the kernel command line says.
 *
 * What a server answers is hostile: an answer is used only when it fits into its buffer, is for this card and this
 * question, and every option in it ends where the answer does. */
#ifndef NETWORK_H
#define NETWORK_H
#include "console.h"

#define AF_INET 2
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOL_SOCKET 1
#define SO_REUSEADDR 2
#define SO_BROADCAST 6
#define SO_KEEPALIVE 9
#define SO_RCVTIMEO 20
#define SO_BINDTODEVICE 25
#define SIOCADDRT 0x890b
#define SIOCGIFNAME 0x8910
#define SIOCGIFFLAGS 0x8913
#define SIOCSIFFLAGS 0x8914
#define SIOCSIFADDR 0x8916
#define SIOCSIFNETMASK 0x891c
#define SIOCGIFHWADDR 0x8927
#define IFF_UP 1
#define IFF_LOOPBACK 8
#define ARPHRD_ETHER 1
#define CARDS 64  /* highest index that is looked at */
#define ROUNDS 30 /* questions to each card; a link may take seconds to come up */
#define DHCP_LEN 548
#define DHCP_OPTIONS 240
#define DHCP_MAGIC 0x63825363u

/* linux/in.h; port and address in network byte order. */
struct address {
    unsigned short family, port;
    unsigned host;
    char zero[8];
};

/* linux/if.h */
struct request {
    char name[16];
    union {
        struct address address;
        struct {
            unsigned short family;
            unsigned char bytes[14];
        } hardware;
        short flags;
        int index;
        char rest[24];
    } value;
};

/* linux/route.h */
struct route {
    unsigned long pad1;
    struct address to, gateway, mask;
    unsigned short flags;
    short pad2;
    unsigned long pad3;
    void *pad4;
    short metric;
    char *device;
    unsigned long mtu, window;
    unsigned short irtt;
};

/* What a card is given; in network byte order, 0 for what is not told. */
struct lease {
    unsigned address, mask, gateway, server;
};

static unsigned swapped(unsigned number) { return __builtin_bswap32(number); }
static unsigned short swapped_short(unsigned number) { return __builtin_bswap16((unsigned short)number); }

static unsigned number_at(const unsigned char *bytes) {
    return (unsigned)bytes[0] << 24 | (unsigned)bytes[1] << 16 | (unsigned)bytes[2] << 8 | bytes[3];
}

static void put_number(unsigned char *bytes, unsigned number) {
    for (int at = 3; at >= 0; at--, number >>= 8)
        bytes[at] = (unsigned char)number;
}

/* A number up to `most` at `*text`, which is moved behind it; -1 where there is none. */
static long decimal(const char **text, long most) {
    long number = 0;
    const char *at = *text;
    for (; *at >= '0' && *at <= '9' && number <= most; at++)
        number = number * 10 + (*at - '0');
    if (at == *text || number > most)
        return -1;
    *text = at;
    return number;
}

/* An IPv4 address at `*text`, in network byte order; 0, which is nobody's, where there is none. */
static unsigned dotted(const char **text) {
    unsigned address = 0;
    const char *at = *text;
    for (int part = 0; part < 4; part++) {
        if (part && *at++ != '.')
            return 0;
        long number = decimal(&at, 255);
        if (number < 0)
            return 0;
        address = address << 8 | (unsigned)number;
    }
    *text = at;
    return swapped(address);
}

static long timeout(long file, long seconds) {
    long time[2] = {seconds, 0};
    return call(SYS_setsockopt, file, SOL_SOCKET, SO_RCVTIMEO, (long)time, sizeof(time));
}

static long set(long file, long level, long option) {
    int yes = 1;
    return call(SYS_setsockopt, file, level, option, (long)&yes, sizeof(yes));
}

static long ask_card(long file, unsigned long what, struct request *card) {
    return call(SYS_ioctl, file, (long)what, (long)card, 0, 0);
}

static int is_same(const char *one, const char *other) {
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

/* Brings a card up; whether there is one with this index and the wanted name, if one is wanted, for Ethernet's frames. Its
 * address is left in `card`, behind its name. */
static int bring_up(long file, int index, const char *wanted, struct request *card) {
    card->value.index = index;
    if (ask_card(file, SIOCGIFNAME, card) < 0)
        return 0;
    if (*wanted && !is_same(wanted, card->name))
        return 0;
    if (ask_card(file, SIOCGIFFLAGS, card) < 0 || card->value.flags & IFF_LOOPBACK)
        return 0;
    card->value.flags |= IFF_UP;
    if (ask_card(file, SIOCSIFFLAGS, card) < 0)
        return 0;
    return ask_card(file, SIOCGIFHWADDR, card) >= 0 && card->value.hardware.family == ARPHRD_ETHER;
}

/* A message of DHCP in `packet`; how long it is. `kind` 1 asks who gives addresses, 3 asks for the one that was offered. */
static long dhcp_message(unsigned char *packet, unsigned char kind, unsigned id, const struct request *card,
                         const struct lease *offered) {
    for (int at = 0; at < DHCP_LEN; at++)
        packet[at] = 0;
    packet[0] = 1; /* a request */
    packet[1] = ARPHRD_ETHER;
    packet[2] = 6;
    put_number(packet + 4, id);
    packet[10] = 0x80; /* the answer goes to all: this card has no address yet */
    for (int at = 0; at < 6; at++)
        packet[28 + at] = card->value.hardware.bytes[at];
    put_number(packet + DHCP_OPTIONS - 4, DHCP_MAGIC);
    unsigned char *option = packet + DHCP_OPTIONS;
    *option++ = 53, *option++ = 1, *option++ = kind;
    if (kind == 3) {
        *option++ = 50, *option++ = 4, put_number(option, swapped(offered->address)), option += 4;
        *option++ = 54, *option++ = 4, put_number(option, swapped(offered->server)), option += 4;
    }
    *option++ = 55, *option++ = 2, *option++ = 1, *option++ = 3; /* mask, routers */
    *option = 255;
    return 300; /* as short as BOOTP lets it be */
}

/* Reads an answer of the kind that is waited for; whether it is one. */
static int dhcp_answer(const unsigned char *packet, long len, unsigned char kind, const unsigned char *question,
                       struct lease *lease) {
    if (len < DHCP_OPTIONS || packet[0] != 2 || number_at(packet + DHCP_OPTIONS - 4) != DHCP_MAGIC)
        return 0;
    for (int at = 4; at < 8; at++)
        if (packet[at] != question[at])
            return 0;
    for (int at = 28; at < 34; at++)
        if (packet[at] != question[at])
            return 0;
    struct lease read = {swapped(number_at(packet + 16)), 0, 0, 0};
    unsigned char found = 0;
    for (long at = DHCP_OPTIONS; at < len && packet[at] != 255;) {
        if (packet[at] == 0) {
            at++;
            continue;
        }
        if (at + 1 >= len || at + 2 + packet[at + 1] > len)
            return 0;
        unsigned char option = packet[at], size = packet[at + 1];
        const unsigned char *value = packet + at + 2;
        if (option == 53 && size == 1)
            found = *value;
        if (option == 1 && size == 4)
            read.mask = swapped(number_at(value));
        if (option == 3 && size >= 4)
            read.gateway = swapped(number_at(value));
        if (option == 54 && size == 4)
            read.server = swapped(number_at(value));
        at += 2 + size;
    }
    if (found != kind || !read.address)
        return 0;
    lease->address = read.address;
    lease->mask = read.mask;
    lease->gateway = read.gateway;
    lease->server = read.server;
    return 1;
}

/* Sends a message to all, and waits at most about two seconds for its answer. */
static int dhcp_asked(long file, unsigned char kind, unsigned id, const struct request *card, struct lease *lease) {
    static unsigned char question[DHCP_LEN], answer[1500];
    struct address all = {AF_INET, swapped_short(67), 0xffffffff, {0}};
    struct {
        void *bytes;
        long len;
    } part = {question, dhcp_message(question, kind, id, card, lease)};
    struct {
        void *name;
        unsigned name_len;
        void *parts;
        long count;
        void *control;
        long control_len;
        unsigned flags;
    } message = {&all, sizeof(all), &part, 1, 0, 0, 0};
    if (call(SYS_sendmsg, file, (long)&message, 0, 0, 0) < 0)
        return 0;
    /* Others on the network are answered, too. */
    for (int tries = 0; tries < 50; tries++) {
        long len = call(SYS_read, file, (long)answer, sizeof(answer), 0, 0);
        if (len < 0)
            return 0;
        /* An offer is 2, and 5 the confirmation of a request. */
        if (dhcp_answer(answer, len, kind == 1 ? 2 : 5, question, lease))
            return 1;
    }
    return 0;
}

static int dhcp(const struct request *card, struct lease *lease) {
    long file = call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0);
    struct address here = {AF_INET, swapped_short(68), 0, {0}};
    unsigned id = 0;
    call(SYS_getrandom, (long)&id, sizeof(id), 4 /* GRND_INSECURE: it is no secret */, 0, 0);
    set(file, SOL_SOCKET, SO_REUSEADDR);
    set(file, SOL_SOCKET, SO_BROADCAST);
    timeout(file, 2);
    int is_given = call(SYS_setsockopt, file, SOL_SOCKET, SO_BINDTODEVICE, (long)card->name, sizeof(card->name)) >= 0 &&
                   call(SYS_bind, file, (long)&here, sizeof(here), 0, 0) >= 0 && dhcp_asked(file, 1, id, card, lease) &&
                   dhcp_asked(file, 3, id, card, lease);
    call(SYS_close, file, 0, 0, 0, 0);
    return is_given;
}

/* Gives a card its address, and routes what is for others through the gateway. */
static void configure(long file, struct request *card, const struct lease *lease) {
    struct address address = {AF_INET, 0, lease->address, {0}};
    card->value.address = address;
    long done = ask_card(file, SIOCSIFADDR, card);
    if (done >= 0 && lease->mask) {
        card->value.address.family = AF_INET;
        card->value.address.host = lease->mask;
        done = ask_card(file, SIOCSIFNETMASK, card);
    }
    if (done < 0)
        fail("give an address to", card->name, done);
    if (!lease->gateway)
        return;
    static struct route route;
    route.to.family = route.gateway.family = route.mask.family = AF_INET;
    route.gateway.host = lease->gateway;
    route.flags = 3; /* RTF_UP, RTF_GATEWAY */
    route.device = card->name;
    done = call(SYS_ioctl, file, SIOCADDRT, (long)&route, 0, 0);
    if (done < 0)
        say_error("route through", card->name, -done);
}

/* `ip=` as the kernel documents it (admin-guide/nfs/nfsroot.rst): address, server, gateway, mask, name, card, and how it is
 * found, with colons between. Where no address stands in front, DHCP gives one. `card` has room for 16 bytes. */
static void read_ip(const char *text, struct lease *lease, char *card) {
    for (int field = 0; *text > ' '; field++) {
        unsigned address = dotted(&text);
        if (field == 0)
            lease->address = address;
        if (field == 2)
            lease->gateway = address;
        if (field == 3)
            lease->mask = address;
        for (int at = 0; *text > ' ' && *text != ':'; at++, text++)
            if (field == 5 && at < 15)
                card[at] = *text, card[at + 1] = 0;
        if (*text == ':')
            text++;
    }
}

/* Gives the first card an address that gets one. */
static void start_network(const char *ip) {
    static struct request card;
    static struct lease lease;
    static char wanted[16];
    if (ip)
        read_ip(ip, &lease, wanted);
    int is_told = lease.address != 0;
    long file = call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0);
    if (file < 0)
        fail("use", "the network", file);
    for (int round = 0; round < ROUNDS; round++) {
        for (int index = 1; index <= CARDS; index++) {
            if (!bring_up(file, index, wanted, &card) || !(is_told || dhcp(&card, &lease)))
                continue;
            configure(file, &card, &lease);
            call(SYS_close, file, 0, 0, 0, 0);
            return;
        }
        pause(200);
    }
    fail("get an address for", wanted[0] ? wanted : "any network card", -ENODEV);
}
#endif
