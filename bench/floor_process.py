"""The floor: a process that only moves bytes. Run as ``python -I -S floor_process.py SOCKET [BYTES]``.

Without BYTES every connection gets back what it sends. With BYTES every connection is sent that many bytes in
64 KiB pieces, then the line that ends a stream.
"""

import select
import socket
import sys


def echo(listener: socket.socket) -> None:
    """Return what comes, on any number of connections, for ever."""
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    live: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                connection = listener.accept()[0]
                live[connection.fileno()] = connection
                poll.register(connection.fileno(), select.EPOLLIN)
            elif not returned(live[number]):
                poll.unregister(number)
                live.pop(number).close()


def returned(connection: socket.socket) -> bool:
    """Send back what has come; false when the other side is gone."""
    try:
        data = connection.recv(1 << 16)
        connection.sendall(data)
    except ConnectionError:
        return False
    return bool(data)


def send(listener: socket.socket, size: int, last: bytes) -> None:
    """Send `size` bytes as fast as they are taken, then `last`."""
    piece = b"f" * 65_536
    while True:
        with listener.accept()[0] as connection:
            for _ in range(size // len(piece)):
                connection.sendall(piece)
            connection.sendall(last)


if __name__ == "__main__":
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(sys.argv[1])
    sock.listen(64)
    if len(sys.argv) > 2:
        send(sock, int(sys.argv[2]), b"bench-end-of-output")
    else:
        echo(sock)
