"""What is done with a client's bytes on their way out: a check of the TLS name, or an end after one request."""

from __future__ import annotations

from collections.abc import Callable

from cowork.proxy.body import Body, BodyError
from cowork.proxy.names import HostError, canonical_host, join
from cowork.proxy.relay import Bytes, Refused
from cowork.proxy.rules import Policy
from cowork.proxy.tls import Look, inspect


class HelloGate:
    """Holds the first bytes of a tunnel back until the server name in them is known, if they are TLS.

    The tunnel's own name was allowed; a server behind it that serves other names, too, would take the one in here.
    """

    def __init__(self, policy: Policy, host: str, port: int, waiting: Callable[[], None]) -> None:
        """``waiting`` is called once, when something is held back for the first time."""
        self._policy = policy
        self._tunnel = join(host, port)
        self._port = port
        self._waiting = waiting
        self._held = bytearray()
        self.passive = False
        """True once it is decided."""

    def feed(self, data: memoryview) -> bytes:
        """What may be sent: nothing, then everything that came.

        Raises:
            Refused: the name is not allowed, or this is no honest hello.
        """
        first = not self._held
        self._held += data
        look, names = inspect(self._held)
        if look is Look.INCOMPLETE:
            if first:
                self._waiting()
            return b""
        if look is Look.MALFORMED:
            raise Refused(self._tunnel, "the TLS hello inside is malformed")
        for name in names:
            self._check(name)
        self.passive = True
        out = bytes(self._held)
        self._held.clear()
        return out

    def end(self) -> None:
        """The client sends no more.

        Raises:
            Refused: its hello is incomplete.
        """
        if self._held:
            raise self.overdue()

    def overdue(self) -> Refused:
        """The rest of the hello has not come in time."""
        return Refused(self._tunnel, "the TLS hello inside is incomplete")

    def _check(self, name: bytes) -> None:
        try:
            host = canonical_host(name)
        except HostError:
            raise Refused(self._tunnel, "the TLS name inside is malformed") from None
        verdict = self._policy.check(host, self._port)
        if not verdict.allowed:
            where = join(host, self._port)
            raise Refused(where, f"another TLS name inside a connection to {self._tunnel}: {verdict.reason}")


class OneRequest:
    """Lets one request's body through, and nothing after it."""

    passive = False

    def __init__(self, length: int | None, where: str) -> None:
        self._body = Body(length)
        self._where = where

    def feed(self, data: memoryview) -> Bytes:
        """What belongs to the body.

        Raises:
            Refused: it is malformed.
        """
        try:
            return data[: self._body.feed(data)]
        except BodyError as e:
            raise Refused(self._where, str(e)) from None

    def end(self) -> None:
        """The client sends no more; that its body is incomplete is the server's to say."""
