"""Being an ordinary user for a while, in a test run that is root's (CI's is).

The sandbox is what ordinary users have, and root could do things that they cannot. Real and effective ids are
changed and the saved ones kept, so that the way back is open for this process and closed for every program it starts.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import needs

_PR_SET_DUMPABLE = 4
_DEFAULT = "cowork-test"


@contextmanager
def ordinary_user() -> Iterator[pwd.struct_passwd]:
    """Be the user of $COWORK_TEST_USER (``cowork-test`` without it), unless this is an ordinary user anyway."""
    if os.geteuid() != 0:
        yield pwd.getpwuid(os.getuid())
        return
    user = _user()
    groups = os.getgroups()
    os.setgroups([user.pw_gid])
    os.setresgid(user.pw_gid, user.pw_gid, 0)
    os.setresuid(user.pw_uid, user.pw_uid, 0)
    # Who changes ids may not look at /proc/self any more, unless it says so.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    try:
        yield user
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@contextmanager
def root_again() -> Iterator[None]:
    """Inside ``ordinary_user``: root for a moment. Skipped where the tests are not root's."""
    user, group = os.geteuid(), os.getegid()
    if 0 not in os.getresuid():
        needs.missing("needs root")
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)
    try:
        yield
    finally:
        os.setgroups([group])
        os.setresgid(group, group, 0)
        os.setresuid(user, user, 0)
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _user() -> pwd.struct_passwd:
    """The user; without one the test is skipped, in CI it fails."""
    found = _find()
    if isinstance(found, str):
        needs.missing(found)
    return found


@functools.cache
def _find() -> pwd.struct_passwd | str:
    name = os.environ.get("COWORK_TEST_USER") or _DEFAULT
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return f"running as root and there is no user {name}: useradd -m {name}"
    tried = subprocess.run(
        [sys.executable, "-c", "import cowork, pytest"], user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        env={"PATH": os.defpath, "HOME": user.pw_dir, "PYTHONDONTWRITEBYTECODE": "1"}, cwd="/", capture_output=True,
        check=False,
    )  # fmt: skip
    if tried.returncode != 0:
        return f"{name} cannot run {sys.executable}: use a Python and a checkout that other users can read"
    return user
