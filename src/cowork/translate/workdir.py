"""Which host folder a session works in.

The CLI files transcripts under the working directory, so the choice has to be the same at every spawn, and right at
the first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from cowork.translate.paths import is_below, resolve_subpath
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.translate.slug import project_slug

NOT_WORKSPACES = frozenset({"uploads", "outputs"})
"""Mounts that every session has; no folder of the user's."""


class Workdir(NamedTuple):
    """The host path that was chosen, and why, in words for the log."""

    path: str
    reason: str


def choose_workdir(
    session: SessionMap, *, cwd: str, hint: str, home: str, resolve: Callable[[str], str | None],
    transcript_slugs: Collection[str] = (), inside: Callable[[str], str | None] = lambda path: path,
) -> Workdir:  # fmt: skip
    """Choose the working directory on the host.

    Candidates are, in this order: ``cwd`` as the client sent it, if it lies in one of the user's folders; these
    folders in the order of ``hint`` (``CLAUDE_CODE_WORKSPACE_HOST_PATHS``, separated by ``|``), then by name; last, or
    alone when there is no such folder, what ``cwd`` says or the session's tree. The first whose slug is among
    ``transcript_slugs`` is taken, or else the first.

    ``resolve`` gives the real path of a folder, None where there is none; ``inside`` the path that the session itself
    has for it, which the slugs are made of. A ``cwd`` outside the session that does not exist is returned as it is when
    nothing else may be chosen: the caller has to check.
    """
    candidates = list(_candidates(session, cwd, hint, home, resolve))
    for candidate in candidates:
        if transcript_slugs and project_slug(inside(candidate.path) or candidate.path) in transcript_slugs:
            return Workdir(candidate.path, "it has the transcript")
    return candidates[0]


def workspaces(session: SessionMap, resolve: Callable[[str], str | None]) -> list[MappedMount]:
    """The mounts that are folders of the user's, by name; their ``host`` as ``resolve`` gives it."""
    found = []
    for mount in session.mounts:
        if "/" in mount.name or mount.name.startswith(".") or mount.name in NOT_WORKSPACES:
            continue
        host = resolve(mount.host)
        if host is not None:
            found.append(mount._replace(host=host))
    # Names like 2024 come last: JavaScript puts them first in every object, and they seldom name a project.
    return sorted(found, key=lambda mount: (mount.name.isdecimal(), mount.name))


def _candidates(
    session: SessionMap, cwd: str, hint: str, home: str, resolve: Callable[[str], str | None]
) -> Iterator[Workdir]:
    folders = workspaces(session, resolve)
    asked = session.to_host(cwd) or cwd
    real = resolve(asked) if asked.startswith("/") else None
    if real is not None and any(is_below(asked, folder.host) or is_below(real, folder.host) for folder in folders):
        yield Workdir(real, "the client asked for it")
    hosts = {folder.host: folder.name for folder in folders}
    for entry in filter(None, map(str.strip, hint.split("|"))):
        path = resolve_subpath(session.to_host(entry) or entry, home, lambda p: resolve(p) is not None)
        host = path if path in hosts else resolve(path)
        if host in hosts:
            yield Workdir(host, f"mount {hosts.pop(host)} is the first of CLAUDE_CODE_WORKSPACE_HOST_PATHS")
    for host, name in hosts.items():
        yield Workdir(host, f"mount {name} is the first by name")
    yield _without_workspace(session, cwd, real)


def _without_workspace(session: SessionMap, cwd: str, real: str | None) -> Workdir:
    if real is not None:
        return Workdir(real, "the client asked for it and there is no workspace")
    if not cwd or session.to_host(cwd) is not None:
        return Workdir(session.tree, "there is no workspace")
    return Workdir(cwd, "the client asked for it")
