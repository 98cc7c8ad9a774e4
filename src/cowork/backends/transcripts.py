"""The CLI's transcripts: where a conversation is kept, and having it where the CLI will look for it.

Older releases of the CLI find ``--resume ID`` only in the folder of the very working directory, so a session whose
working directory has changed would lose its conversation. It is copied, never moved, and never over another
(faults G57; spawn-pipeline, part D).
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from cowork.translate.slug import project_slug

_log = logging.getLogger(__name__)


def slugs_with(config: str, resume: str) -> set[str]:
    """Names of the project folders below ``<config>/projects`` that hold the conversation."""
    return {path.parent.name for path in _transcripts(config, resume)}


def heal(config: str, resume: str, workdir: str) -> bool:
    """Have the conversation in the folder of ``workdir`` (a real path); True if it had to be copied there.

    The newest copy is taken, with the folder of the same name beside it. Failures are logged: the CLI may still find
    it by itself.
    """
    target = Path(config) / "projects" / project_slug(workdir)
    found = _transcripts(config, resume)
    if not found or any(path.parent == target for path in found):
        return False
    newest = max(found, key=lambda path: (path.stat().st_mtime_ns, path.stat().st_size))
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        companion = newest.with_suffix("")
        if companion.is_dir():
            _copy_folder(companion, target / resume)
        _copy_file(newest, target / newest.name)
    except OSError as e:
        _log.warning("transcript %s could not be copied to %s: %s", resume, target, e)
        return False
    _log.info("transcript %s copied from %s to %s", resume, newest.parent.name, target.name)
    return True


def _transcripts(config: str, resume: str) -> list[Path]:
    try:
        folders = sorted(os.scandir(os.path.join(config, "projects")), key=lambda e: e.name)
    except OSError:
        return []
    files = [Path(folder.path) / f"{resume}.jsonl" for folder in folders]
    return [path for path in files if path.is_file()]


def _copy_file(source: Path, target: Path) -> None:
    """Copy under a temporary name, sync, and link: an existing target wins, however late it came."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copy2(source, temporary)
        with temporary.open("rb") as f:
            os.fsync(f.fileno())
        try:
            os.link(temporary, target)
        except FileExistsError:
            pass
    finally:
        temporary.unlink(missing_ok=True)


def _copy_folder(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(source, temporary, symlinks=True)
        if not target.exists():
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
