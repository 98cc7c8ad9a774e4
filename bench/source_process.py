"""Where bytes come from over TCP, for the proxy's section. Run as ``python -I -S source_process.py``.

Prints the port on which it listens, on loopback. Each connection sends a request of REQUEST bytes, a decimal number,
and gets that many bytes: those of PIECE over and over. Ends with its standard input.
"""

import random
import select
import signal
import socket
import sys

REQUEST = 16
PIECE = random.Random(7).randbytes(262_139)
"""Its length divides no size of a buffer, so that pieces out of order show."""
LONGEST = 600
"""Seconds after which it ends in any case."""


class Stream:
    """One connection: what is left to send, and where in PIECE that begins."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.asked = b""
        self.left = self.at = 0
        sock.setblocking(False)

    def step(self) -> int | None:
        """Read or send once; what to wait for next, or None when it is at its end."""
        try:
            if len(self.asked) < REQUEST:
                more = self.sock.recv(REQUEST - len(self.asked))
                if not more:
                    return None
                self.asked += more
                self.left = int(self.asked) if len(self.asked) == REQUEST else 0
            else:
                sent = self.sock.send(memoryview(PIECE)[self.at : self.at + self.left])
                self.left -= sent
                self.at = (self.at + sent) % len(PIECE)
        except BlockingIOError:
            pass
        except OSError:
            return None
        if len(self.asked) < REQUEST:
            return select.EPOLLIN
        return select.EPOLLOUT if self.left else None


def serve(listener: socket.socket, alive: int) -> None:
    """Until `alive` is at its end."""
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    poll.register(alive, select.EPOLLIN)
    streams: dict[int, Stream] = {}
    while True:
        for number, _ in poll.poll():
            if number == alive:
                return
            if number == listener.fileno():
                stream = Stream(listener.accept()[0])
                streams[stream.sock.fileno()] = stream
                poll.register(stream.sock.fileno(), select.EPOLLIN)
            elif (want := streams[number].step()) is not None:
                poll.modify(number, want)
            else:
                streams.pop(number).sock.close()


if __name__ == "__main__":
    signal.alarm(LONGEST)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        print(server.getsockname()[1], flush=True)
        serve(server, sys.stdin.fileno())
