"""A front end of vhost-user-blk, as a monitor is one: memory, rings, and reads of a disk (QEMU's vhost-user.rst, VIRTIO 1.2)."""
import contextlib
import mmap
import os
import selectors
import socket
import struct

from machine import now

SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 2, 3, 5, 8, 9, 10
SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ENABLE = 12, 13, 18
VERSION_1, PROTOCOL_FEATURES = 1 << 32, 1 << 30
ENTRIES = 4  # of a ring: a header, data, a status
USED, AVAIL, HEADER, STATUS, DATA = 0x100, 0x200, 0x300, 0x400, 0x1000
SECTOR = 512


class Ring:
    """One ring with one request at a time; its memory begins at `base`."""

    def __init__(self, memory, base, size):
        self.memory, self.base = memory, base
        self.kick, self.call = os.eventfd(0), os.eventfd(0)
        self.count = 0
        chain = [(HEADER, 16, 1, 1), (DATA, size, 3, 2), (STATUS, 1, 2, 0)]
        for number, (offset, length, flags, behind) in enumerate(chain):
            struct.pack_into("<QIHH", memory, base + 16 * number, base + offset, length, flags, behind)

    def ask(self, offset):
        """Ask for the bytes at an offset of the disk."""
        struct.pack_into("<IIQ", self.memory, self.base + HEADER, 0, 0, offset // SECTOR)
        struct.pack_into("<H", self.memory, self.base + AVAIL + 4 + 2 * (self.count % ENTRIES), 0)
        self.count += 1
        struct.pack_into("<H", self.memory, self.base + AVAIL + 2, self.count % (1 << 16))
        os.eventfd_write(self.kick, 1)

    def wait(self):
        """Wait until what was asked for is there."""
        os.eventfd_read(self.call)
        used, = struct.unpack_from("<H", self.memory, self.base + USED + 2)
        if used != self.count % (1 << 16) or self.memory[self.base + STATUS] != 0:
            raise RuntimeError("a read by vhost-user failed")


class Disk:
    """A disk at a socket, read by so many rings of requests of `size` bytes."""

    def __init__(self, path, rings, size):
        room = DATA + size
        self.size, length = size, rings * room
        file = os.memfd_create("guest")
        os.truncate(file, length)
        memory = mmap.mmap(file, length, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self._send(SET_OWNER)
        self._send(SET_FEATURES, struct.pack("<Q", VERSION_1 | PROTOCOL_FEATURES))
        self._send(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, length, 0, 0), file)
        os.close(file)
        self.rings = [Ring(memory, number * room, size) for number in range(rings)]
        for number, ring in enumerate(self.rings):
            self._send(SET_VRING_NUM, struct.pack("<II", number, ENTRIES))
            self._send(SET_VRING_BASE, struct.pack("<II", number, 0))
            places = (ring.base, ring.base + USED, ring.base + AVAIL, 0)
            self._send(SET_VRING_ADDR, struct.pack("<IIQQQQ", number, 0, *places))
            self._send(SET_VRING_CALL, struct.pack("<Q", number), ring.call)
            self._send(SET_VRING_KICK, struct.pack("<Q", number), ring.kick)
            self._send(SET_VRING_ENABLE, struct.pack("<II", number, 1))

    def _send(self, request, payload=b"", *files):
        message = struct.pack("<III", request, 1, len(payload)) + payload
        socket.send_fds(self.socket, [message], files)

    def read_through(self, end):
        """Read the disk up to `end` from front to back, each ring the next part that none has; MB/s."""
        start, offsets = now(), iter(range(0, end - self.size + 1, self.size))
        with selectors.DefaultSelector() as ready:
            for ring, offset in zip(self.rings, offsets):
                ring.ask(offset)
                ready.register(ring.call, selectors.EVENT_READ, ring)
            while ready.get_map():
                for key, _ in ready.select():
                    key.data.wait()
                    offset = next(offsets, None)
                    if offset is None:
                        ready.unregister(key.fd)
                    else:
                        key.data.ask(offset)
        return end // self.size * self.size / 1e6 / (now() - start)

    def seconds(self, offset):
        """How long a read takes."""
        ring, start = self.rings[0], now()
        ring.ask(offset)
        ring.wait()
        return now() - start

    def close(self):
        self.socket.close()
        for ring in self.rings:
            os.close(ring.kick)
            os.close(ring.call)


@contextlib.contextmanager
def disk(path, rings, size):
    it = Disk(path, rings, size)
    try:
        yield it
    finally:
        it.close()
