"""What a holder says of itself, as a type."""

from __future__ import annotations

import msgspec

from cowork.sessions.record import ExitRecord


class StdinStatus(msgspec.Struct):
    """The queue in front of the child's stdin; sizes in bytes."""

    open: bool = False
    queued: int = 0
    limit: int = 0


class HolderStatus(msgspec.Struct):
    """Body of STATUS. ``head`` and ``base`` are spool offsets; ``output`` is "open", "full", "disk full" or "ended"."""

    version: int
    pid: int
    holder: int
    running: bool
    head: int = 0
    base: int = 0
    output: str = "open"
    stdin: StdinStatus = msgspec.field(default_factory=StdinStatus)
    exit: ExitRecord | None = None
    cgroup: str | None = None


class StartFailure(msgspec.Struct):
    """Body of FAILED: the step that failed, the kernel's error number, a sentence."""

    what: str
    errno: int
    text: str
