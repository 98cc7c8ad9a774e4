"""What subscribers are told. An event is a bare JSON object whose first key, ``type``, names its kind.

An ``id`` in an event is that of the process (of the question in ``GuestRequest``), never of an RPC request.
The vocabulary is the one that clients compare with, letter case included (docs/protocol.md).
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import UNSET, Raw, Struct, UnsetType

CERTIFICATE = "CERTIFICATE"
VIRTUAL_DISK_ATTACHMENTS = "VirtualDiskAttachments"
"""Steps of ``StartupStep``, in the order of a start."""

STARTED = "started"
COMPLETED = "completed"
"""Statuses of ``StartupStep``: clients open a step at the first and close it at any other."""

CONNECTED = "CONNECTED"
NOT_CONNECTED = "NOT_CONNECTED"
"""Statuses of ``NetworkStatus``."""

UNKNOWN = "unknown"
REACHABLE = "reachable"
PROBABLY_UNREACHABLE = "probably_unreachable"
UNREACHABLE = "unreachable"
"""Statuses of ``ApiReachability``; the middle one stands for a first failed probe."""

NO_PARAMS = Raw(b"{}")


class Stdout(Struct, tag_field="type", tag="stdout", frozen=True, gc=False):
    """Output of a process, at most 256 KiB of it."""

    id: str
    data: str


class Stderr(Struct, tag_field="type", tag="stderr", frozen=True, gc=False):
    """Error output of a process, at most 256 KiB of it."""

    id: str
    data: str


class Exit(Struct, tag_field="type", tag="exit", rename="camel", frozen=True, gc=False):
    """The end of a process, behind all its output.

    ``exit_code`` is -1 after a signal, whose name (``SIGTERM``) then is in ``signal``. ``oom_kill_count`` is
    the number of its processes that the kernel killed for want of memory, where that is known.
    """

    id: str
    exit_code: int
    signal: str | UnsetType = UNSET
    oom_kill_count: int | UnsetType = UNSET


class ProcessError(Struct, tag_field="type", tag="error", frozen=True, gc=False):
    """Something went wrong with a process; when it is ``fatal``, nothing more will come from it."""

    id: str
    message: str
    fatal: bool


class StartupStep(Struct, tag_field="type", tag="startupStep", frozen=True, gc=False):
    """Progress of ``startVM``."""

    step: str
    status: str


class VmStarted(Struct, tag_field="type", tag="vmStarted", frozen=True, gc=False):
    """``startVM`` has done its work; ``name`` is empty unless the client gave one."""

    name: str = ""


class VmStopped(Struct, tag_field="type", tag="vmStopped", frozen=True, gc=False):
    """``stopVM`` has done its work; ``name`` is empty unless the client gave one."""

    name: str = ""


class NetworkStatus(Struct, tag_field="type", tag="networkStatus", frozen=True, gc=False):
    """Whether the guest has a network."""

    status: str


class ApiReachability(Struct, tag_field="type", tag="apiReachability", frozen=True, gc=False):
    """Whether the API answers; clients do not go on to ``spawn`` before they were told."""

    status: str


class GuestRequest(Struct, tag_field="type", tag="request", frozen=True, gc=False):
    """A question from the guest, answered by the method ``sendGuestResponse`` with the same id.

    ``params`` is the guest's own JSON text, passed on as it is.
    """

    id: str | int
    method: str
    params: Raw = NO_PARAMS


Event: TypeAlias = (
    Stdout
    | Stderr
    | Exit
    | ProcessError
    | StartupStep
    | VmStarted
    | VmStopped
    | NetworkStatus
    | ApiReachability
    | GuestRequest
)
