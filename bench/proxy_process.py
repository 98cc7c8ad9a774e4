"""The proxy of the sandbox in a process of its own. Run as ``python proxy_process.py HOST:PORT SEND_BUFFER``.

Prints the port on which it listens, on loopback; its rules allow HOST:PORT and all public hosts. SEND_BUFFER: bytes of
the sockets to its clients, 0 for what the kernel makes of them. Ends with its standard input.
"""

import signal
import socket
import sys

from cowork.proxy.server import serve
from cowork.proxy.settings import Listener, Settings

LONGEST = 600
"""Seconds after which it ends in any case."""


def main(allowed: str, send_buffer: int) -> None:
    """Serve."""
    signal.alarm(LONGEST)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        if send_buffer:  # what is accepted has it from here
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        print(listener.getsockname()[1], flush=True)
        serve(Settings([["*", allowed]]), [Listener(listener, "proxy")], alive=sys.stdin.fileno(), log=lambda _: None)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
