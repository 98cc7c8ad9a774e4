"""Go-style flags: ``-x``, ``--x``, ``-x=v``, ``-x v``. Existing launchers pass them, and they need no library.

``cowork serve`` and ``cowork-helper`` are started by programs that wait for them, so nothing is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cowork.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def parse(arguments: Sequence[str], *, values: Collection[str], switches: Collection[str]) -> dict[str, list[str]]:
    """Flags by name (without dashes) with all their values in order; a switch has the value "true".

    Raises:
        ConfigError: an unknown flag, a missing or superfluous value, or an argument that is no flag.
    """
    out: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or argument in ("-", "--"):
            raise ConfigError(f"unexpected argument {argument!r}")
        name, equals, value = argument.lstrip("-").partition("=")
        if name in switches:
            if equals and value not in ("true", "false"):
                raise ConfigError(f"-{name} is true or false, not {value!r}")
            if value != "false":
                out.setdefault(name, []).append("true")
        elif name in values:
            if not equals:
                if not rest:
                    raise ConfigError(f"-{name} needs a value")
                value = rest.pop(0)
            out.setdefault(name, []).append(value)
        else:
            raise ConfigError(f"unknown option {argument!r}")
    return out
