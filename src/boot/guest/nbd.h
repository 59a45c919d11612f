/* A disk behind the network: NBD's handshake (doc/proto.md of the NBD project: fixed newstyle, NBD_OPT_GO), after which the
 * kernel's own client (linux/nbd-netlink.h) has the connection, so no program needs to stay for it.
 *
 * What the server sends is hostile: of what it tells only size and flags are used, and it may not go on for ever. */
#ifndef NBD_H
#define NBD_H
#include "network.h"

#define NBD_PORT 10809
#define OPT_GO 7
#define REP_ACK 1
#define REP_INFO 3
#define CONNECTS 30      /* tries, a second apart */
#define REPLIES 64       /* of one option */
#define REPLY_LEN 4096   /* longest one, in bytes */
#define NAME_LEN 1024    /* longest name of an export, in bytes */
#define AF_NETLINK 16
#define NETLINK_GENERIC 16
#define NLMSG_ERROR 2
#define GENL_ID_CTRL 16

struct disk {
    unsigned long size, flags;
};

/* Reads or writes all of `len` bytes. */
static long all_of(long number, long file, void *bytes, long len) {
    for (long done = 0; done < len;) {
        long some = call(number, file, (long)bytes + done, len - done, 0, 0);
        if (some <= 0)
            return some < 0 ? some : -EPROTO;
        done += some;
    }
    return 0;
}

static unsigned long long_at(const unsigned char *bytes) {
    return (unsigned long)number_at(bytes) << 32 | number_at(bytes + 4);
}

/* Takes one reply; 1 when it was the last one, 0 when more follow. */
static long take_reply(long file, struct disk *disk) {
    static unsigned char head[20], info[REPLY_LEN];
    long done = all_of(SYS_read, file, head, sizeof(head));
    if (done < 0)
        return done;
    unsigned kind = number_at(head + 12), len = number_at(head + 16);
    if (long_at(head) != 0x3e889045565a9 || number_at(head + 8) != OPT_GO || len > sizeof(info))
        return -EPROTO;
    done = all_of(SYS_read, file, info, len);
    if (done < 0)
        return done;
    if (kind >> 31)
        return kind == 0x80000006 ? -ENOENT : -EACCES;
    /* NBD_INFO_EXPORT */
    if (kind == REP_INFO && len >= 12 && !info[0] && !info[1]) {
        disk->size = long_at(info + 2);
        disk->flags = (unsigned long)info[10] << 8 | info[11];
    }
    return kind == REP_ACK;
}

/* Asks for an export. */
static long shake_hands(long file, const char *name, long name_len, struct disk *disk) {
    static unsigned char bytes[26 + NAME_LEN];
    long done = all_of(SYS_read, file, bytes, 18);
    if (done < 0)
        return done;
    /* NBDMAGIC, IHAVEOPT, and fixed newstyle among the flags. */
    if (long_at(bytes) != 0x4e42444d41474943 || long_at(bytes + 8) != 0x49484156454f5054 || !(bytes[17] & 1))
        return -EPROTO;
    put_number(bytes, 3); /* fixed newstyle, no zeros */
    put_number(bytes + 4, 0x49484156);
    put_number(bytes + 8, 0x454f5054);
    put_number(bytes + 12, OPT_GO);
    put_number(bytes + 16, (unsigned)name_len + 6);
    put_number(bytes + 20, (unsigned)name_len);
    for (long at = 0; at < name_len; at++)
        bytes[24 + at] = (unsigned char)name[at];
    bytes[24 + name_len] = bytes[25 + name_len] = 0; /* no further information is asked for */
    done = all_of(SYS_write, file, bytes, 26 + name_len);
    for (int replies = 0; !done && replies < REPLIES; replies++)
        done = take_reply(file, disk);
    if (done < 0)
        return done;
    return done && disk->size ? 0 : -EPROTO;
}

/* A connection to the server. */
static long connect_to(unsigned host, unsigned port, const char *url) {
    struct address server = {AF_INET, swapped_short(port), host, {0}};
    for (int tries = 1;; tries++) {
        long file = call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0);
        long done = file < 0 ? file : call(SYS_connect, file, (long)&server, sizeof(server), 0, 0);
        if (done >= 0)
            return file;
        call(SYS_close, file, 0, 0, 0, 0);
        if (tries == CONNECTS)
            fail("connect to", url, done);
        pause(1000);
    }
}

/* A netlink message that is being written. */
static unsigned char message[512];
static unsigned message_len;

static void put_bytes(const void *bytes, unsigned len) {
    for (unsigned at = 0; at < len; at++)
        message[message_len + at] = ((const unsigned char *)bytes)[at];
    message_len = (message_len + len + 3) & ~3u;
}

static void put_attribute(unsigned short kind, const void *value, unsigned len) {
    unsigned short head[2] = {(unsigned short)(len + 4), kind};
    put_bytes(head, sizeof(head));
    put_bytes(value, len);
}

static void put_long(unsigned short kind, unsigned long value) { put_attribute(kind, &value, sizeof(value)); }

static void begin(unsigned short family, unsigned short flags, unsigned char command) {
    struct {
        unsigned len;
        unsigned short kind, flags;
        unsigned sequence, port;
        unsigned char command, version;
        unsigned short reserved;
    } head = {0, family, flags, 1, 0, command, 1, 0};
    for (unsigned at = 0; at < sizeof(message); at++)
        message[at] = 0;
    message_len = 0;
    put_bytes(&head, sizeof(head));
}

/* Sends the message, and reads what comes back until an error or an attribute of the kind `wanted`: its first two bytes; 0
 * for an error that is none. */
static long ask_kernel(long file, unsigned short wanted) {
    static union {
        unsigned char bytes[8192];
        unsigned numbers[2048];
        unsigned short shorts[4096];
    } answer;
    *(unsigned *)(void *)message = message_len;
    long len = call(SYS_write, file, (long)message, message_len, 0, 0);
    while (len >= 0) {
        len = call(SYS_read, file, (long)answer.bytes, sizeof(answer.bytes), 0, 0);
        if (len < 20)
            return len < 0 ? len : -EPROTO;
        if (answer.shorts[2] == NLMSG_ERROR)
            return (int)answer.numbers[4];
        for (long at = 20; wanted && at + 6 <= len && answer.shorts[at / 2] >= 4;
             at += (answer.shorts[at / 2] + 3) & ~3)
            if (answer.shorts[at / 2 + 1] == wanted)
                return answer.shorts[at / 2 + 2];
    }
    return len;
}

/* Gives the kernel the connection, as the first network block device. */
static long hand_over(long connection, const struct disk *disk) {
    long file = call(SYS_socket, AF_NETLINK, 3 /* SOCK_RAW */, NETLINK_GENERIC, 0, 0);
    struct {
        unsigned short family, pad;
        unsigned port, groups;
    } kernel = {AF_NETLINK, 0, 0, 0};
    long done = file < 0 ? file : call(SYS_connect, file, (long)&kernel, sizeof(kernel), 0, 0);
    if (done < 0)
        return done;
    begin(GENL_ID_CTRL, 1 /* NLM_F_REQUEST */, 3 /* CTRL_CMD_GETFAMILY */);
    put_attribute(2 /* CTRL_ATTR_FAMILY_NAME */, "nbd", 4);
    long family = ask_kernel(file, 1 /* CTRL_ATTR_FAMILY_ID */);
    if (family <= 0)
        return family ? family : -EPROTO;
    unsigned index = 0;
    unsigned long block = disk->size % 4096 ? 512 : 4096;
    struct {
        unsigned short item_len, item, socket_len, socket;
        unsigned file;
    } sockets = {12, 1 /* NBD_SOCK_ITEM */, 8, 1 /* NBD_SOCK_FD */, (unsigned)connection};
    begin((unsigned short)family, 5 /* NLM_F_REQUEST, NLM_F_ACK */, 1 /* NBD_CMD_CONNECT */);
    put_attribute(1 /* NBD_ATTR_INDEX */, &index, sizeof(index));
    put_long(2 /* NBD_ATTR_SIZE_BYTES */, disk->size);
    put_long(3 /* NBD_ATTR_BLOCK_SIZE_BYTES */, block);
    put_long(5 /* NBD_ATTR_SERVER_FLAGS */, disk->flags);
    put_attribute(7 /* NBD_ATTR_SOCKETS */, &sockets, sizeof(sockets));
    done = ask_kernel(file, 0);
    call(SYS_close, file, 0, 0, 0, 0);
    return done;
}

/* Attaches the export of `nbd://ADDRESS[:PORT]/NAME` as /dev/nbd0. A zero ends the URL. */
static void attach(const char *url) {
    const char *at = url + sizeof("nbd://") - 1;
    unsigned host = dotted(&at);
    long port = NBD_PORT, name_len = 0;
    if (*at == ':')
        at++, port = decimal(&at, 65535);
    if (!host || port <= 0 || *at++ != '/')
        fail("use the address", url, -EINVAL);
    while (at[name_len])
        name_len++;
    if (name_len > NAME_LEN)
        fail("ask for", url, -EINVAL);
    static struct disk disk;
    long connection = connect_to(host, (unsigned)port, url);
    timeout(connection, 30);
    long done = shake_hands(connection, at, name_len, &disk);
    if (done < 0)
        fail("get", url, done);
    /* The kernel waits for the next answer as long as there is no question. */
    timeout(connection, 0);
    set(connection, 6 /* IPPROTO_TCP */, 1 /* TCP_NODELAY */);
    set(connection, SOL_SOCKET, SO_KEEPALIVE);
    done = hand_over(connection, &disk);
    if (done < 0)
        fail("attach by the kernel's driver `nbd`", url, done);
    call(SYS_close, connection, 0, 0, 0, 0);
}
#endif
