"""Where a session works, and where its conversation lies: what both backends ask of the host.

The choice itself is ``translate.workdir``; here are the folders that it is made among.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cowork.backends import transcripts
from cowork.errors import RpcError
from cowork.translate.arguments import resume_id
from cowork.translate.paths import GUEST_ROOT
from cowork.translate.workdir import Workdir, choose_workdir

if TYPE_CHECKING:
    from collections.abc import Callable

    from cowork.backends.base import SpawnRequest
    from cowork.translate.sessionmap import SessionMap


def choose(
    request: SpawnRequest, session: SessionMap, config: str, inside: Callable[[str], str | None] = lambda path: path
) -> Workdir:  # fmt: skip
    """The host folder that the session works in, with regard to the conversation that it resumes; it need not exist.

    ``config``: the CLI's configuration folder on the host, empty if there is none. ``inside``: see ``choose_workdir``.

    Raises:
        RpcError: the client asks for no absolute path, or for a guest path that the session does not have.
    """
    if request.cwd and not request.cwd.startswith("/"):
        raise RpcError(f"working directory {request.cwd}: must be an absolute path")
    if request.cwd.startswith(f"{GUEST_ROOT}/") and session.to_host(request.cwd) is None:
        raise RpcError(f"working directory {request.cwd}: no folder of this session")
    resume = resume_id(request.args)
    slugs = transcripts.slugs_with(config, resume) if resume and config else set()
    hint = request.env.get("CLAUDE_CODE_WORKSPACE_HOST_PATHS") or ""
    return choose_workdir(
        session, cwd=request.cwd, hint=hint, home=os.path.realpath(request.home), resolve=real_folder,
        transcript_slugs=slugs, inside=inside,
    )  # fmt: skip


def heal(request: SpawnRequest, config: str, seen: str) -> None:
    """Have the conversation that is resumed, if one is, lie where the CLI looks for it when it works in ``seen``."""
    resume = resume_id(request.args)
    if resume and config:
        transcripts.heal(config, resume, seen)


def real_folder(path: str) -> str | None:
    """The path of a folder without links, None if there is none."""
    real = os.path.realpath(path)
    return real if os.path.isdir(real) else None
