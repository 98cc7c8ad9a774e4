"""The error tree. Library code raises these; only the command line prints them and exits.

    CoworkError                 message, hint
    ├── ProtocolError           the other side broke the wire protocol
    │   ├── FrameError          length: a frame of zero or too many bytes
    │   ├── ParseError          a good frame whose body is not a request
    │   ├── UnknownMethod       method
    │   └── InvalidParams       field
    ├── RpcError                a request that was understood and cannot be done; code
    ├── HolderError             a session's holder cannot be started or reached
    ├── NotFound                no such session, process or file
    ├── NotRunning              no daemon, or the process has ended
    ├── NotTaken                delivered, and not seen to be taken
    ├── Blocked                 a session waits for an answer, and would be waited for in vain
    ├── TimedOut                something did not come in the time that was given
    ├── PolicyError             refused by isolation, ownership or containment
    └── ConfigError             an option, variable or file that makes no sense

Members carry what a caller needs to decide (a field, a code, an exit status); ``hint`` is what to do about it,
in words for the person at the terminal.
"""

from __future__ import annotations


class CoworkError(Exception):
    """Base of all errors that this package raises on purpose.

    ``exit_status`` is what a command ends with when the error reaches its boundary (docs/exit-codes.md).
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ProtocolError(CoworkError):
    """The peer sent something that the protocol does not allow."""


class FrameError(ProtocolError):
    """A frame whose announced length (``length``, bytes) is zero or above the limit."""

    def __init__(self, message: str, *, length: int) -> None:
        super().__init__(message)
        self.length = length


class ParseError(ProtocolError):
    """The body of a good frame is not a request. ``id`` is its id as JSON text where it could be found."""

    def __init__(self, message: str, *, id: bytes | None = None) -> None:
        super().__init__(message)
        self.id = id


class UnknownMethod(ProtocolError):
    """No method of that name."""

    def __init__(self, method: str) -> None:
        super().__init__(f"Unknown method: {method}")
        self.method = method


class InvalidParams(ProtocolError):
    """A parameter of the wrong type or value; ``field`` is its dotted path."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class RpcError(CoworkError):
    """A request that was understood and cannot be carried out; ``code`` is the wire's number, if it has one."""

    def __init__(self, message: str, *, code: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class HolderError(CoworkError):
    """A session's holder cannot be started or does not answer."""


class NotFound(CoworkError):
    """There is no such session, process or file."""

    exit_status = 4


class NotRunning(CoworkError):
    """There is no daemon, or the process has ended."""

    exit_status = 3


class NotTaken(CoworkError):
    """It was delivered, but whoever it was for has not shown that they took it."""

    exit_status = 7


class Blocked(CoworkError):
    """A session waits for an answer, so what it is waited for will not come by itself."""

    exit_status = 5


class TimedOut(CoworkError):
    """Something did not come in the time that was given."""

    exit_status = 124


class PolicyError(CoworkError):
    """Refused: by isolation, by ownership, or because a path leaves its tree."""

    exit_status = 6


class ConfigError(CoworkError):
    """An option, an environment variable or a file that makes no sense."""

    exit_status = 2
