"""Processes that listen on a port of their own choice, and connections to the one through the other."""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from time import perf_counter
from types import TracebackType

from bench import process
from bench.source_process import PIECE, REQUEST

LOOPBACK = "127.0.0.1"
PATIENCE = 20.0
"""Seconds without a byte after which no more is waited for."""
_RECEIVE = 1 << 18


class Listening:
    """A process whose first line of output is its port, and which ends with its standard input."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._argv, self._env = argv, env
        self.port = 0

    def __enter__(self) -> Listening:
        self._process = subprocess.Popen(
            self._argv, env=self._env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"{' '.join(self._argv)} did not come up")
            self.port = int(line)
        except BaseException:
            self._end(0)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(5)

    def _end(self, patience: float) -> None:
        with self._process as ending:  # closes the pipes, and with its standard input the process ends
            assert ending.stdin is not None
            ending.stdin.close()
            try:
                ending.wait(patience)
            except subprocess.TimeoutExpired:
                ending.kill()

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def cpu(self) -> float:
        """CPU seconds it has used."""
        return process.cpu_seconds(self.pid)


def connect(source: Listening, proxy: Listening | None) -> socket.socket:
    """A blocking connection to the source, through the proxy if there is one; ConnectionError if that refuses."""
    sock = socket.create_connection((LOOPBACK, (proxy or source).port), PATIENCE)
    try:
        sock.settimeout(None)
        limit = struct.pack("ll", int(PATIENCE), int(PATIENCE % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        if proxy is not None:
            place = f"{LOOPBACK}:{source.port}"
            sock.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
            reply = b""
            while not reply.endswith(b"\r\n\r\n"):
                more = sock.recv(4096)
                if not more:
                    break
                reply += more
            if reply.split(b" ")[1:2] != [b"200"]:
                raise ConnectionRefusedError(f"the proxy said {reply[:100]!r}")
    except BaseException:
        sock.close()
        raise
    return sock


def ask(sock: socket.socket, size: int) -> None:
    """Have the source send `size` bytes."""
    sock.sendall(b"%0*d" % (REQUEST, size))


def discard(sock: socket.socket, size: int) -> float:
    """Receive `size` bytes; the moment of the last one (perf_counter). ConnectionError when they do not come."""
    buffer = bytearray(4 * _RECEIVE)
    while size > 0:
        try:
            count = sock.recv_into(buffer, min(size, len(buffer)))
        except BlockingIOError:
            raise TimeoutError(f"{size:,} bytes did not come") from None
        if not count:
            raise ConnectionResetError(f"closed with {size:,} bytes to come")
        size -= count
    return perf_counter()


def collect(socks: Sequence[socket.socket], size: int, tick: Callable[[], None]) -> list[str]:
    """Receive from all at once, to the end of each; for every one that did not get just its bytes, what it got.

    `tick` is called every now and then. Ends when nothing came for a while.
    """
    poll = select.epoll()
    left = {sock.fileno(): sock for sock in socks}
    got, sums = dict.fromkeys(left, 0), dict.fromkeys(left, 0)
    buffer = memoryview(bytearray(_RECEIVE))
    try:
        for number, sock in left.items():
            sock.setblocking(False)
            poll.register(number, select.EPOLLIN)
        while left and (ready := poll.poll(PATIENCE)):
            tick()
            for number, _ in ready:
                try:
                    count = left[number].recv_into(buffer)
                except BlockingIOError:
                    continue
                except OSError:
                    count = 0
                if count:
                    got[number] += count
                    sums[number] = zlib.crc32(buffer[:count], sums[number])
                else:
                    poll.unregister(number)
                    del left[number]
    finally:
        poll.close()
    wrong = [number for number in got if got[number] != size or sums[number] != _checksum(size) or number in left]
    return [
        f"{got[n]:,} of {size:,} bytes{', not the ones that were sent' if got[n] == size else ''}"
        f"{', and no end' if n in left else ''}"
        for n in wrong
    ]


@cache
def _checksum(size: int) -> int:
    whole, rest = divmod(size, len(PIECE))
    found = 0
    for _ in range(whole):
        found = zlib.crc32(PIECE, found)
    return zlib.crc32(PIECE[:rest], found)
