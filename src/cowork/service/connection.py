"""One client's connection: frames in, replies out, and the subscriber's events on the same wire.

All complete frames of one read are answered by plain calls and their replies joined into one write. Only what
has to wait becomes a future or a task; its reply follows when it is ready, so one slow request delays no other.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from cowork.errors import CoworkError, FrameError, ParseError, ProtocolError, RpcError
from cowork.linux import tasks
from cowork.linux.credentials import peer_of
from cowork.service.answer import Answer, Result
from cowork.wire.codec import decode_params, decode_request, encode_error, encode_result, join_reply
from cowork.wire.frames import FrameBuffer

if TYPE_CHECKING:
    from cowork.service.delivery import Subscriber
    from cowork.service.methods import Method
    from cowork.service.service import Service
    from cowork.wire.codec import Request
    from cowork.wire.replies import Reply

HIGH_WATER = 1024 * 1024
"""Bytes of unread replies from which on a client's further requests are left in its socket."""
_POLLED = frozenset({"isRunning", "isGuestConnected", "isProcessRunning", "isDebugLoggingEnabled"})
IN_FLIGHT = 1024
"""Requests of one client that may be waiting at the same time."""

SEND_BUFFER = 512 * 1024
"""Bytes that a subscriber's socket may hold: one event of 256 KiB with its escapes."""

_log = logging.getLogger(__name__)


class Connection(asyncio.BufferedProtocol):
    """Server side of one connection; also the ``Sink`` of its subscriber."""

    def __init__(self, service: Service, dialect: str) -> None:
        self.dialect = dialect
        self._service = service
        self._methods: dict[str, Method] = service.methods
        self._frames = FrameBuffer()
        self._in_flight = 0
        self._half_closed = False
        self._paused = False
        self._subscriber: Subscriber | None = None
        self._transport: asyncio.Transport

    # -- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse other users, then serve."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock: socket.socket = transport.get_extra_info("socket")
        peer = peer_of(sock)
        if peer.uid != self._service.uid:
            _log.warning("refused a connection of uid %d (pid %d)", peer.uid, peer.pid)
            transport.abort()
            return
        self._service.connections.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the loop."""
        return self._frames.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Answer everything that is complete."""
        replies: list[bytes] = []
        try:
            for payload in self._frames.received(nbytes):
                reply = self._serve(payload)
                if reply is not None:
                    replies.append(reply)
        except FrameError as e:
            _log.warning("closing a connection: %s", e.message)
            replies.append(encode_error(None, e.message))
            self._transport.write(b"".join(replies))
            self._transport.close()
            return
        if replies:
            self._write(replies[0] if len(replies) == 1 else b"".join(replies))

    def eof_received(self) -> bool:
        """The client will send no more; it still gets what it is owed."""
        self._half_closed = True
        self._close_when_done()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop, once."""
        self._service.connections.discard(self)
        if self._subscriber is not None:
            self._service.delivery.unsubscribe(self._subscriber)
            self._subscriber = None

    def pause_writing(self) -> None:
        """The socket does not take everything. Nothing to do: whoever writes asks before."""

    def resume_writing(self) -> None:
        """The socket has taken everything."""
        if self._paused and self._in_flight < IN_FLIGHT:
            self._paused = False
            self._transport.resume_reading()
        if self._subscriber is not None:
            self._subscriber.drained()

    # -- requests

    def _serve(self, payload: memoryview) -> bytes | None:
        """One request; its framed reply, or None when that will come later."""
        try:
            request = decode_request(payload)
        except ParseError as e:
            return encode_error(e.id, e.message)
        try:
            method = self._methods.get(request.method)
            if method is None:
                return self._unknown(request)
            given = request.params
            params = method.defaults if given is None else decode_params(method.kind, given)
            if self._service.debug_requests and request.method not in _POLLED:
                _log.debug("%s %r", request.method, params)  # the repr leaves out what is secret
            result = method.call(self._service, self, params)
        except Exception as e:
            return self._failure(request.id, request.method, e)
        if type(result) is bytes:
            return join_reply(request.id, result)
        if inspect.isawaitable(result):
            self._later(request, result)
            return None
        return self._reply(request.id, request.method, result)  # type: ignore[arg-type]

    def _unknown(self, request: Request) -> bytes:
        self._service.warn_once(f"unknown method {request.method[:100]!r}")
        if self.dialect == "service":
            return encode_result(request.id, None)
        return encode_error(request.id, f"Unknown method: {request.method[:1000]}")

    def _reply(self, request_id: bytes | None, method: str, result: Reply | Answer | None) -> bytes:
        if isinstance(result, Answer):
            if result.after is not None:
                # Behind the write of this very reply, which happens before the loop turns.
                asyncio.get_running_loop().call_soon(result.after)
            if result.error is not None:
                return self._failure(request_id, method, result.error)
            result = result.result
        try:
            return encode_result(request_id, result)
        except FrameError as e:
            return encode_error(request_id, f"the reply is too large: {e.message}")

    def _failure(self, request_id: bytes | None, method: str, error: Exception) -> bytes:
        if isinstance(error, CoworkError):
            code = error.code if isinstance(error, RpcError) else None
            text = error.message if error.hint is None else f"{error.message} ({error.hint})"
            if not isinstance(error, ProtocolError):
                _log.info("%s refused: %s", method, error.message)
            return encode_error(request_id, text, code)
        if isinstance(error, OSError):
            _log.warning("%s failed: %s", method, error)
            return encode_error(request_id, str(error))
        _log.error("%s failed", method, exc_info=error)
        return encode_error(request_id, f"Internal error: {type(error).__name__}")

    def _later(self, request: Request, work: Awaitable[Result]) -> None:
        self._in_flight += 1
        if self._in_flight >= IN_FLIGHT:
            self._pause()
        future = work if isinstance(work, asyncio.Future) else tasks.start(_run(work), request.method)
        request_id, name = request.id, request.method
        future.add_done_callback(lambda f: self._finished(request_id, name, f))

    def _finished(self, request_id: bytes | None, name: str, future: asyncio.Future[Result | Exception]) -> None:
        self._in_flight -= 1
        if future.cancelled():
            reply = encode_error(request_id, "the daemon is shutting down")
        elif (error := future.exception()) is not None:
            reply = self._failure(request_id, name, error if isinstance(error, Exception) else RuntimeError())
        else:
            result = future.result()
            if isinstance(result, Exception):
                reply = self._failure(request_id, name, result)
            else:
                reply = (
                    join_reply(request_id, result)
                    if isinstance(result, bytes)
                    else self._reply(request_id, name, result)
                )
        if not self._transport.is_closing():
            self._write(reply)
            if self._paused and self._in_flight < IN_FLIGHT and not self._transport.get_write_buffer_size():
                self._paused = False
                self._transport.resume_reading()
        self._close_when_done()

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > HIGH_WATER:
            self._pause()

    def _pause(self) -> None:
        if not self._paused and not self._half_closed:
            self._paused = True
            self._transport.pause_reading()

    def _close_when_done(self) -> None:
        # A subscriber that has closed its half is gone: nothing else would ever tell.
        if self._half_closed and not self._in_flight and not self._transport.is_closing():
            self._transport.close()

    # -- subscription

    def subscribe(self, profile: int) -> None:
        """Make this connection a subscriber's, from the next turn of the loop on (the acknowledgement goes first)."""
        if self._subscriber is None:
            # Any rest that the socket has not taken is reported, so that positions are stored at the right moment.
            self._transport.set_write_buffer_limits(high=0)
            # Room for a whole large event, so that it costs one call; the kernel gives what it is allowed to.
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self._subscriber = self._service.delivery.subscribe(self, profile)

    @property
    def writable(self) -> bool:
        """See ``Sink``."""
        return not self._transport.is_closing() and not self._transport.get_write_buffer_size()

    def write_event(self, frame: bytearray | bytes) -> bool:
        """See ``Sink``."""
        self._transport.write(frame)
        return not self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Send what waits, then close; a client that does not read is not waited for."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()


async def _run(work: Awaitable[Result]) -> Result | Exception:
    """Await it; an error is a result, since a refusal is nothing that a task's log should call a failure."""
    try:
        return await work
    except Exception as e:
        return e
