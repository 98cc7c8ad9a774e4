"""What a successful request returns: one structure for each kind of result (docs/protocol.md)."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType


class Reply(Struct, rename="camel", frozen=True):
    """Base of all results."""


class Void(Reply, frozen=True):
    """Nothing to tell; ``{}`` on the wire."""


class Subscribed(Reply, frozen=True):
    """``subscribeEvents``: sent in front of the first event."""

    subscribed: bool = True


class Running(Reply, frozen=True):
    """``isRunning``."""

    running: bool


class GuestConnected(Reply, frozen=True):
    """``isGuestConnected``."""

    connected: bool


class Spawned(Reply, frozen=True):
    """``spawn``: the process' id and the names of the mounts that could not be made; never null."""

    id: str
    failed_mounts: list[str] = []


class ProcessRunning(Reply, frozen=True):
    """``isProcessRunning``; the ``exit_code`` of an ended process is -1 after a signal, UNSET if unknown."""

    running: bool
    exit_code: int | UnsetType = UNSET


class MountPath(Reply, frozen=True):
    """``mountPath``: where the process finds the mount."""

    guest_path: str


class FileContent(Reply, frozen=True):
    """``readFile``: the file's bytes as base64 text (RFC 4648 section 4), which the client always decodes."""

    content: str


class DebugLogging(Reply, frozen=True):
    """``isDebugLoggingEnabled``."""

    enabled: bool


class DownloadStatus(Reply, frozen=True):
    """``getDownloadStatus``; clients compare the word in lower case."""

    status: str = "ready"


class SessionSize(Reply, frozen=True):
    """One of the sessions in ``DisksInfo``; its size in bytes."""

    name: str
    size_bytes: int


class DisksInfo(Reply, frozen=True):
    """``getSessionsDiskInfo``: bytes of the file system and of each session."""

    total_bytes: int
    free_bytes: int
    sessions: list[SessionSize] = []


class Deleted(Reply, frozen=True):
    """``deleteSessionDirs``: the names that are gone, and why others are not."""

    deleted: list[str] = []
    errors: dict[str, str] = {}


class Pruned(Reply, frozen=True):
    """``pruneSessionCaches``: which sessions gave up something, how many bytes, and what went wrong."""

    pruned_sessions: list[str] = []
    skipped_sessions: list[str] = []
    freed_bytes: int = 0
    errors: dict[str, str] = {}


class NetworkDrives(Reply, frozen=True):
    """``getNetworkDrives``: always empty on Linux; what a drive would look like is not documented."""

    drives: list[str] = []
