"""A registry that is far: each answer comes after a while, no more than so many bytes in a second, and all are counted."""
import asyncio
import contextlib
import re
import threading

REQUEST = re.compile(rb"^(GET|HEAD) (/v2/\S*) HTTP/1\.1\r$", re.M)


class Far:
    """A proxy before a registry on this machine."""

    def __init__(self, port):
        self.target, self.delay, self.rate = port, 0.0, None
        self.requests, self.ranges, self.bytes = [], 0, 0
        # When all that was sent before has got through.
        self.free = 0.0
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            there = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(self._ask(reader, there[1]), self._answer(there[0], writer))
        writer.close()

    async def _ask(self, reader, writer):
        while chunk := await reader.read(1 << 16):
            self.requests += [found[1].decode() for found in REQUEST.findall(chunk)]
            await asyncio.sleep(self.delay)
            self.ranges += chunk.lower().count(b"\r\nrange: bytes=")
            # The registry compares the name it is called by with nothing, so the request stays as it is.
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def _answer(self, reader, writer):
        while chunk := await reader.read(1 << 16):
            self.bytes += len(chunk)
            if self.rate:
                self.free = max(self.free, self.loop.time()) + len(chunk) / self.rate
                await asyncio.sleep(self.free - self.loop.time())
            writer.write(chunk)
            await writer.drain()
        writer.close()

    def reset(self, delay=0.0, rate=None):
        """Count anew, with another distance in seconds and another rate in bytes a second of all connections together."""
        self.requests, self.ranges, self.bytes, self.delay, self.rate = [], 0, 0, delay, rate

    def asked(self, part):
        """How often something was asked for that has this in its path."""
        return sum(part in path for path in self.requests)
