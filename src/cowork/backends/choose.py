"""Which backend serves: the one that was named, or the strongest that works here; never a weaker one silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cowork.backends.host import HostBackend
from cowork.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from cowork.backends.base import Backend

ALIASES = {"native": "host"}
"""Names that launchers of other daemons use."""
_STRONGEST_FIRST: tuple[type[Backend], ...] = (HostBackend,)
NAMES = ("auto", *(kind.name for kind in _STRONGEST_FIRST))
_NOT_HERE = ("bwrap", "kvm")


def choose(name: str) -> tuple[Backend, list[str]]:
    """The backend for a ``--backend`` value, and why the stronger ones were not taken.

    Raises:
        ConfigError: there is no backend of that name.
        PolicyError: it was named and does not work here; nothing weaker is taken in its place.
    """
    name = ALIASES.get(name, name)
    if name in _NOT_HERE:
        raise PolicyError(
            f"the {name} backend is not part of this release",
            hint="use --backend host, knowing that it isolates nothing",
        )
    if name not in NAMES:
        raise ConfigError(f"unknown backend {name!r}", hint=f"one of {', '.join(NAMES)}")
    reasons: list[str] = []
    for kind in _STRONGEST_FIRST:
        if name not in ("auto", kind.name):
            continue
        backend = kind()
        found = backend.probe()
        if found.works:
            return backend, reasons
        if name == kind.name:
            raise PolicyError(f"the {name} backend does not work here: {found.reason}", hint=found.fix or None)
        reasons.append(f"{kind.name}: {found.reason}")
    raise PolicyError("no backend works here: " + "; ".join(reasons))
