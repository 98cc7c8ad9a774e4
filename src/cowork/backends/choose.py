"""Which backend serves: the one that was named, or the strongest that works here; never a weaker one silently."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cowork import config
from cowork.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cowork.backends.base import Backend

ALIASES = {"native": "host", "bubblewrap": "bwrap"}
"""Names that launchers of other daemons use."""
STRONGEST_FIRST = ("bwrap", "host")
NAMES = ("auto", *STRONGEST_FIRST)
_NOT_HERE = ("kvm",)


def choose(name: str, environ: Mapping[str, str] | None = None) -> tuple[Backend, list[str]]:
    """The backend for a ``--backend`` value, and why the stronger ones were not taken.

    Raises:
        ConfigError: there is no backend of that name, or the configuration makes no sense.
        PolicyError: it was named and does not work here, or the configuration wants more than works here; nothing
            weaker is taken in its place.
    """
    environ = os.environ if environ is None else environ
    name = ALIASES.get(name, name)
    if name in _NOT_HERE:
        raise PolicyError(
            f"the {name} backend is not part of this release",
            hint="use --backend bwrap, or --backend host, knowing that it isolates nothing",
        )
    if name not in NAMES:
        raise ConfigError(f"unknown backend {name!r}", hint=f"one of {', '.join(NAMES)}")
    required = config.load(environ).isolation == "required"
    reasons: list[str] = []
    for kind in STRONGEST_FIRST if name == "auto" else (name,):
        if kind == "host" and required:
            reasons.append('host: config.toml says isolation = "required"')
            break
        backend = make(kind, environ)
        found = backend.probe()
        if found.works:
            return backend, reasons
        if name == kind:
            raise PolicyError(f"the {name} backend does not work here: {found.reason}", hint=found.fix or None)
        reasons.append(f"{kind}: {found.reason}" + (f" (to mend it: {found.fix})" if found.fix else ""))
    hint = f"change {config.path(environ)} to allow less, or mend what is named" if required else None
    raise PolicyError("no backend may be used: " + "; ".join(reasons), hint=hint)


def make(kind: str, environ: Mapping[str, str]) -> Backend:
    """The backend of that name. Loaded when it is wanted: a daemon's start is waited for."""
    if kind == "bwrap":
        from cowork.backends.bwrap.backend import BwrapBackend

        return BwrapBackend(environ)
    from cowork.backends.host import HostBackend

    return HostBackend(environ)
