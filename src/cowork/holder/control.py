"""The holder's socket and its clients: who is connected, what waits to be sent to them."""

from __future__ import annotations

import os
import select
import socket
import struct

from cowork.holder import messages as m

_UCRED = struct.Struct("iII")
_BACKLOG_LIMIT = 8 * 1024 * 1024


class Client:
    """One connection. What cannot be sent now waits; a NOTE that waits is replaced by the newer one."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.watching = False
        self.armed = False
        self.splitter = m.Splitter()
        self._out = bytearray()
        self._note: bytes | None = None
        sock.setblocking(False)

    @property
    def waiting(self) -> bool:
        """Whether something waits for the socket to take it."""
        return bool(self._out) or self._note is not None

    def send(self, message: bytes) -> None:
        """Send in order, now or later.

        Raises:
            OSError: the connection is dead, or its backlog is absurd.
        """
        if not self._out and self._note is None:
            try:
                done = self.sock.send(message)
            except BlockingIOError:
                done = 0
            if done == len(message):
                return
            message = message[done:]
        if self._note is not None:
            self._out += self._note
            self._note = None
        self._out += message
        if len(self._out) > _BACKLOG_LIMIT:
            raise BrokenPipeError("client does not read")

    def note(self, message: bytes) -> None:
        """Tell the newest end of the spool; only the last one that could not be sent is kept."""
        if self._out:
            self._note = message
            return
        try:
            done = self.sock.send(message)
        except BlockingIOError:
            self._note = message
            return
        if done < len(message):
            self._out += message[done:]
        self._note = None

    def flush(self) -> None:
        """The socket is writable again."""
        if self._out:
            done = self.sock.send(self._out)
            del self._out[:done]
        if not self._out and self._note is not None:
            message, self._note = self._note, None
            self.note(message)


class Clients:
    """All connections and the listener, registered with the loop's epoll."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._clients: dict[int, Client] = {}
        self._listener: socket.socket | None = None
        self._path = ""

    def listen(self, path: str) -> None:
        """Bind the session's socket, 0600 from the start.

        Raises:
            OSError: the path is taken or cannot be made.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            listener.bind(path)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(old)
        listener.listen(16)
        listener.setblocking(False)
        self._listener, self._path = listener, path
        self._epoll.register(listener.fileno(), select.EPOLLIN)

    def listen_again(self) -> None:
        """Somebody has removed the socket (a runtime folder goes with its user's last logout): make it anew.

        Raises:
            OSError: that is not possible; the old listener is gone, too.
        """
        path = self._path
        self.stop_listening()
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self.listen(path)

    def stop_listening(self) -> None:
        """Remove the socket; connections stay."""
        if self._listener is None:
            return
        self._epoll.unregister(self._listener.fileno())
        self._listener.close()
        self._listener = None
        try:
            os.unlink(self._path)
        except OSError:
            pass

    def is_listener(self, fd: int) -> bool:
        """Whether ``fd`` is the listening socket."""
        return self._listener is not None and fd == self._listener.fileno()

    def accept(self) -> None:
        """Take one connection of the same user; others are closed without a word."""
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid not in (os.getuid(), 0):
            sock.close()
            return
        self.add(sock)

    def add(self, sock: socket.socket) -> Client:
        """Serve a connected socket."""
        client = self._clients[sock.fileno()] = Client(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return client

    def get(self, fd: int) -> Client | None:
        """The client with that descriptor."""
        return self._clients.get(fd)

    def drop(self, client: Client) -> None:
        """Forget a connection."""
        fd = client.sock.fileno()
        if self._clients.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            client.sock.close()

    def receive(self, client: Client) -> list[tuple[int, bytes]]:
        """Messages that have arrived; drops a client that is gone or talks nonsense."""
        try:
            data = client.sock.recv(256 * 1024)
            if data:
                return client.splitter.feed(data)
        except BlockingIOError:
            return []
        except (OSError, ValueError):
            pass
        self.drop(client)
        return []

    def send(self, client: Client, message: bytes) -> None:
        """Send to one; a dead one is dropped."""
        try:
            client.send(message)
        except OSError:
            self.drop(client)
        else:
            self.arm(client)

    def broadcast(self, message: bytes, *, note: bool = False) -> None:
        """Send to all who watch."""
        for client in list(self._clients.values()):
            if not client.watching:
                continue
            try:
                if note:
                    client.note(message)
                else:
                    client.send(message)
            except OSError:
                self.drop(client)
            else:
                self.arm(client)

    def flush(self, client: Client) -> None:
        """A client's socket takes data again."""
        try:
            client.flush()
        except BlockingIOError:
            pass
        except OSError:
            self.drop(client)
            return
        self.arm(client)

    def arm(self, client: Client) -> None:
        """Listen for writability exactly while something waits."""
        if client.waiting != client.armed:
            client.armed = client.waiting
            events = select.EPOLLIN | (select.EPOLLOUT if client.armed else 0)
            self._epoll.modify(client.sock.fileno(), events)

    @property
    def unsent(self) -> bool:
        """Whether anybody still waits for something."""
        return any(c.waiting for c in self._clients.values())
