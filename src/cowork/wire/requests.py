"""The parameters of every method: one structure each, and the table of methods.

The wire's names are in camel case; three spellings are united here, those of the official client 3.x, of its
predecessors and of the Go daemon (docs/protocol.md). Every field may be missing or null and then has its
default, which means "not said". Sizes are in the unit that the wire's name ends with.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct, field

HIDDEN = "…"


class Params(Struct, rename="camel", frozen=True, kw_only=True):
    """Base of all parameters.

    ``tolerant`` methods take params of a wrong type for none at all; all others refuse them. Values of the
    fields in ``secret`` are left out when the structure is printed: tokens, environments, what users type.
    """

    tolerant: ClassVar[bool] = False
    secret: ClassVar[frozenset[str]] = frozenset()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, hidden(value) if name in self.secret else value) for name, value in values]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"


def hidden(value: object) -> object:
    """Return what may be printed of a secret value: whether it is empty, and the keys of an object."""
    if isinstance(value, dict):
        return dict.fromkeys(value, HIDDEN)
    return HIDDEN if value else value


class Configure(Params, frozen=True):
    """``configure``: who the client is and where the tools are that it found.

    ``session_only`` marks the short form that is sent right after each connect. The elements of
    ``network_drives`` have no documented shape and are taken as they are.
    """

    user_data_name: str = ""
    user_data_root: str = ""
    session_only: bool = False
    memory_mb: int = field(name="memoryMB", default=0)
    cpu_count: int = 0
    network_drives: list[object] = []
    smol_bin_path: str = ""
    log_dir: str = ""
    virtiofsd_path: str = ""
    firmware_code_path: str = ""
    firmware_vars_template_path: str = ""


class CreateVM(Params, frozen=True):
    """``createVM``; ``name`` is from older clients."""

    bundle_path: str = ""
    disk_size_gb: int = field(name="diskSizeGB", default=0)
    name: str = ""


class StartVM(Params, frozen=True):
    """``startVM``; ``api_probe_url`` asks for real probes of the API, ``name`` is from older clients."""

    bundle_path: str = ""
    memory_gb: int = field(name="memoryGB", default=0)
    cpu_count: int = 0
    api_probe_url: str = field(name="apiProbeURL", default="")
    name: str = ""


class StopVM(Params, frozen=True):
    """``stopVM``; ``name`` is from older clients."""

    name: str = ""


class SubscribeEvents(Params, frozen=True):
    """``subscribeEvents``."""

    tolerant: ClassVar[bool] = True

    user_data_name: str = ""
    user_data_root: str = ""
    name: str = ""


class IsRunning(Params, frozen=True):
    """``isRunning``; ``name`` is from older clients."""

    tolerant: ClassVar[bool] = True

    name: str = ""


class IsGuestConnected(Params, frozen=True):
    """``isGuestConnected``; ``name`` is from older clients."""

    tolerant: ClassVar[bool] = True

    name: str = ""


class Mount(Struct, rename="camel", frozen=True):
    """One of ``additionalMounts``: a host ``path`` and how it may be used (``ro``, ``rw``, ``rwd``)."""

    path: str = ""
    mode: str = ""


class Spawn(Params, frozen=True):
    """``spawn``: start a process.

    In ``env`` a null or empty value means that the child shall not have the variable. ``allowed_domains`` is
    None when the client says nothing about the network and an empty list when it allows no domain.
    ``shared_cwd_path`` is from clients 2.x.
    """

    secret: ClassVar[frozenset[str]] = frozenset({"args", "env", "oauth_token"})

    id: str = ""
    name: str = ""
    command: str = ""
    args: list[str] = []
    cwd: str = ""
    env: dict[str, str | None] = {}
    additional_mounts: dict[str, Mount] = {}
    is_resume: bool = False
    allowed_domains: list[str] | None = None
    one_shot: bool = False
    mount_skeleton_home: bool = False
    shared_cwd_path: str = ""
    oauth_token: str = ""


class Kill(Params, frozen=True):
    """``kill``: a signal by name (with or without ``SIG``) or number; empty means TERM."""

    id: str = ""
    signal: str | int = ""


class WriteStdin(Params, frozen=True):
    """``writeStdin``: text for a process, sent to it as UTF-8."""

    secret: ClassVar[frozenset[str]] = frozenset({"data"})

    id: str = ""
    data: str = ""


class IsProcessRunning(Params, frozen=True):
    """``isProcessRunning``."""

    id: str = ""


class MountPath(Params, frozen=True):
    """``mountPath``: one more mount for a process that runs."""

    process_id: str = ""
    subpath: str = ""
    mount_name: str = ""
    mode: str = ""


class ReadFile(Params, frozen=True):
    """``readFile``: a path as the process sees it."""

    process_name: str = ""
    file_path: str = ""


class InstallSdk(Params, frozen=True):
    """``installSdk``: where the client has put which version of the CLI."""

    sdk_subpath: str = ""
    version: str = ""


class AddApprovedOauthToken(Params, frozen=True):
    """``addApprovedOauthToken``; ``name`` is from older clients."""

    secret: ClassVar[frozenset[str]] = frozenset({"token"})

    token: str = ""
    name: str = ""


class SetDebugLogging(Params, frozen=True):
    """``setDebugLogging``."""

    enabled: bool = False


class IsDebugLoggingEnabled(Params, frozen=True):
    """``isDebugLoggingEnabled``: takes nothing."""

    tolerant: ClassVar[bool] = True


class GetDownloadStatus(Params, frozen=True):
    """``getDownloadStatus``: takes nothing."""

    tolerant: ClassVar[bool] = True


class GetSessionsDiskInfo(Params, frozen=True):
    """``getSessionsDiskInfo``."""

    low_water_bytes: int = 0


class DeleteSessionDirs(Params, frozen=True):
    """``deleteSessionDirs``."""

    names: list[str] = []


class CreateDiskImage(Params, frozen=True):
    """``createDiskImage``."""

    disk_name: str = ""
    size_gib: int = field(name="sizeGiB", default=0)


class SendGuestResponse(Params, frozen=True):
    """``sendGuestResponse``: the answer to a ``request`` event; ``result_json`` is JSON inside a string."""

    secret: ClassVar[frozenset[str]] = frozenset({"result_json"})

    id: str | int = ""
    result_json: str = ""
    error: str = ""


class PruneSessionCaches(Params, frozen=True):
    """``pruneSessionCaches``: nothing is done while that much is free; 0 means always."""

    only_if_free_bytes_below: int = 0
    include_session_tmp: bool = False
    session_tmp_older_than_seconds: int = 0


class GetNetworkDrives(Params, frozen=True):
    """``getNetworkDrives``: takes nothing."""

    tolerant: ClassVar[bool] = True


METHODS: dict[str, type[Params]] = {
    "configure": Configure,
    "createVM": CreateVM,
    "startVM": StartVM,
    "stopVM": StopVM,
    "subscribeEvents": SubscribeEvents,
    "isRunning": IsRunning,
    "isGuestConnected": IsGuestConnected,
    "spawn": Spawn,
    "kill": Kill,
    "writeStdin": WriteStdin,
    "isProcessRunning": IsProcessRunning,
    "mountPath": MountPath,
    "readFile": ReadFile,
    "installSdk": InstallSdk,
    "addApprovedOauthToken": AddApprovedOauthToken,
    "setDebugLogging": SetDebugLogging,
    "isDebugLoggingEnabled": IsDebugLoggingEnabled,
    "getDownloadStatus": GetDownloadStatus,
    "getSessionsDiskInfo": GetSessionsDiskInfo,
    "deleteSessionDirs": DeleteSessionDirs,
    "createDiskImage": CreateDiskImage,
    "sendGuestResponse": SendGuestResponse,
    "pruneSessionCaches": PruneSessionCaches,
    "getNetworkDrives": GetNetworkDrives,
}
"""The methods that exist, by exactly these names; any other, inherited or private, is unknown."""
