"""The methods of the protocol by name: their parameters' type and the function that answers them.

A function gets the service, the connection that asks and the decoded parameters. Those that need no waiting are
plain functions; the others return something to be awaited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cowork.service.handlers import files, machine, processes
from cowork.wire.requests import METHODS as PARAMS

if TYPE_CHECKING:
    from cowork.service.answer import Handler
    from cowork.wire.requests import Params


class Method(NamedTuple):
    """One method. ``defaults`` are its parameters when there are none."""

    kind: type[Params]
    defaults: Params
    call: Handler


_HANDLERS: dict[str, Handler] = {
    **machine.HANDLERS,
    **processes.HANDLERS,
    **files.HANDLERS,
}

METHODS: dict[str, Method] = {name: Method(kind, kind(), _HANDLERS[name]) for name, kind in PARAMS.items()}
"""Every method of ``wire.requests.METHODS``; anything else is unknown."""
