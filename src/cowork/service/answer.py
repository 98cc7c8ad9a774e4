"""What a method gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from cowork.errors import CoworkError
    from cowork.service.connection import Connection
    from cowork.service.service import Service
    from cowork.wire.replies import Reply


class Answer(NamedTuple):
    """A reply with something to be done right after it was written; ``error`` makes it a failure."""

    result: Reply | None = None
    error: CoworkError | None = None
    after: Callable[[], None] | None = None


Result: TypeAlias = "Reply | bytes | Answer | None"
"""A reply, the suffix of one encoded beforehand (``wire.codec.result_suffix``), an ``Answer``, or nothing ({})."""

Handler: TypeAlias = "Callable[[Service, Connection, Any], Result | Awaitable[Result]]"
"""A method's function: the service, the connection that asks, the decoded parameters. Raises a ``CoworkError`` for what
becomes an error reply."""
