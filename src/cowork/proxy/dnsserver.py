"""The sandbox's name server: a made-up address for every allowed name that exists, nothing for the rest."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from cowork.proxy import dns
from cowork.proxy.loop import IN
from cowork.proxy.names import HostError, canonical_host, is_literal
from cowork.proxy.outbound import Context
from cowork.proxy.resolver import Answer

_AT_ONCE = 64
"""Datagrams that are served before others have their turn."""


class DnsServer:
    """Serves one UDP socket.

    A denied name is answered NXDOMAIN, and nobody outside is asked: musl ignores REFUSED and waits for seconds, glibc
    makes "temporary failure" of it; NXDOMAIN ends the search in both at once.
    """

    def __init__(self, context: Context, sock: socket.socket) -> None:
        self._context = context
        self._sock = sock
        sock.setblocking(False)
        context.loop.watch(sock.fileno(), IN, self._ready)

    def _ready(self, _: int) -> None:
        for _number in range(_AT_ONCE):
            try:
                data, sender = self._sock.recvfrom(4096)
            except OSError:
                return  # nothing more, or the echo of an answer that nobody waited for
            query = dns.parse_query(data)
            if isinstance(query, bytes):
                self._send(query, sender)
            else:
                self._answer(query, sender)

    def _answer(self, query: dns.Query, sender: Any) -> None:
        try:
            host = canonical_host(query.name)
        except HostError:
            host = ""
        if host == "localhost" or host.endswith(".localhost"):
            self._send(dns.answer(query, "127.0.0.1"), sender)
        elif not host or is_literal(host) or not self._context.policy.may_be_resolved(host):
            self._context.decisions("denied", "DNS", host or query.name.decode("latin-1"), "not in allowedDomains")
            self._send(dns.error(query, dns.NXDOMAIN), sender)
        elif self._context.upstream.serves(host):
            # Names are the upstream proxy's business; there may be no way to ask for them here.
            self._send(dns.answer(query, self._context.madeup.address(host)), sender)
        else:
            self._context.resolver.resolve(host, partial(self._resolved, query, host, sender))

    def _resolved(self, query: dns.Query, host: str, sender: Any, answer: Answer) -> None:
        if answer.missing:
            self._send(dns.error(query, dns.NXDOMAIN), sender)
        elif answer.error:
            self._context.decisions("failed", "DNS", host, answer.error)
            self._send(dns.error(query, dns.SERVFAIL), sender)
        else:
            address = self._context.madeup.address(host) if answer.addresses else None
            self._send(dns.answer(query, address), sender)

    def _send(self, message: bytes, receiver: Any) -> None:
        if message:
            try:
                self._sock.sendto(message, receiver)
            except OSError:
                pass  # it will ask again
