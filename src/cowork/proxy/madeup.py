"""Made-up addresses: what our DNS gives out for a name, so that a connection to it tells the name again."""

from __future__ import annotations

import socket
from collections import OrderedDict

_FIRST = int.from_bytes(socket.inet_aton("127.64.0.1"))
_LAST = int.from_bytes(socket.inet_aton("127.127.255.254"))
CAPACITY = 65536
"""Names that are known at once; then those that were not used for the longest time go."""


class MadeUp:
    """Names and their addresses out of 127.64.0.0/10, each other's only ones.

    An address whose name was forgotten is not given out again before all others were: an old answer, kept by
    some program for far too long, finds no name rather than another one.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = min(capacity, (_LAST - _FIRST) // 2)
        self._addresses: OrderedDict[str, int] = OrderedDict()
        self._names: dict[int, str] = {}
        self._next = _FIRST

    def address(self, name: str) -> str:
        """The address of a canonical name; the same again and again."""
        number = self._addresses.get(name)
        if number is None:
            number = self._addresses[name] = self._take()
            self._names[number] = name
            if len(self._addresses) > self._capacity:
                _, forgotten = self._addresses.popitem(last=False)
                del self._names[forgotten]
        else:
            self._addresses.move_to_end(name)
        return socket.inet_ntoa(number.to_bytes(4))

    def name(self, address: str) -> str | None:
        """Whose address that is; None if it was never given out, or its name was forgotten."""
        try:
            number = int.from_bytes(socket.inet_pton(socket.AF_INET, address))
        except (OSError, ValueError):
            return None
        name = self._names.get(number)
        if name is not None:
            self._addresses.move_to_end(name)
        return name

    def _take(self) -> int:
        while True:
            number = self._next
            self._next = number + 1 if number < _LAST else _FIRST
            if number not in self._names:
                return number
