"""Sessions are outside the daemon's cgroup: stopping its systemd service ends no session."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Place

SUPPORT = Path(__file__).resolve().parents[1] / "support"
UNIFIED = Path("/sys/fs/cgroup/unified")

needs = [
    (os.geteuid() == 0, "needs root for a mount namespace with a user manager of its own"),
    (os.path.exists("/lib/systemd/systemd") and shutil.which("systemd-run"), "needs Debian's package systemd"),
]
pytestmark = [pytest.mark.skipif(not met, reason=reason) for met, reason in needs]


@pytest.fixture
def group() -> Iterator[str]:
    """Name of a fresh cgroup; removed with all below it, wherever v2 is mounted."""
    name = f"cowork-test-{uuid.uuid4().hex[:8]}"
    yield name
    for root in (UNIFIED, UNIFIED.parent):
        if (root / name).is_dir():
            for folder, _, _ in os.walk(root / name, topdown=False):
                os.rmdir(folder)


def run(place: Place, group: str, scenario: str) -> dict[str, str]:
    """What a scenario has seen."""
    environment = {**place.environment(), "PYTHONPATH": f"{SUPPORT.parents[1] / 'src'}:{SUPPORT.parents[1]}"}
    done = subprocess.run(
        ["unshare", "--mount", "sh", str(SUPPORT / "user_manager.sh"), group, sys.executable, "-m",
         "tests.support.scope_scenario", scenario],
        env=environment, cwd=SUPPORT.parents[1], capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    place.end_processes()
    seen: dict[str, str] = json.loads(done.stdout)
    return seen


def test_sessions_from_the_shell_are_in_a_scope_of_their_own(place: Place, group: str) -> None:
    seen = run(place, group, "shell")
    assert ".scope/cowork-" in seen["first"]
    assert ".scope/cowork-" in seen["second"]
    assert seen["first"] != seen["second"], "one cgroup per session"
    assert seen["first"].rpartition("/")[0] == seen["second"].rpartition("/")[0], "one zygote"


def test_a_stopped_service_leaves_the_session_alone(place: Place, group: str) -> None:
    seen = run(place, group, "daemon")
    assert seen["daemon"].endswith("/cowork-test.service")
    assert ".scope/cowork-" in seen["child"]
    assert seen["stray"] == seen["child"], "one cgroup per session"
    assert seen["survived"] == "[true, true]"
    assert seen["echo"] == "after\n"
    assert seen["left"] == "[false, false, false]", "the child, the stray and the session's cgroup are gone"
