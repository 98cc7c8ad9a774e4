"""What a holder is told travels unchanged, also between releases."""

from __future__ import annotations

import json
import os

from hypothesis import given
from hypothesis import strategies as st

from cowork.holder.spec import Cover, Folder, Listen, Sandbox, StartSpec

NAMES = st.one_of(st.text(max_size=20), st.binary(max_size=20).map(os.fsdecode))
FEW = 3
WORDS = st.text(max_size=9)
PLAIN = st.none() | st.booleans() | st.integers() | WORDS | st.lists(st.lists(WORDS, max_size=FEW), max_size=FEW)
PORTS = st.integers(0, 65535)
FDS = st.integers(0, 9999)
SANDBOXES = st.builds(
    Sandbox, program=NAMES, options=st.lists(NAMES, max_size=FEW),
    files=st.dictionaries(FDS, st.binary(max_size=40).map(lambda data: data.decode("latin-1")), max_size=FEW),
    folders=st.lists(st.builds(Folder, FDS, NAMES, NAMES), max_size=FEW),
    covers=st.lists(st.builds(Cover, NAMES, NAMES, st.none() | WORDS), max_size=FEW),
    listen=st.lists(st.builds(Listen, NAMES, NAMES, NAMES, PORTS, st.none() | st.tuples(NAMES, PORTS)), max_size=FEW),
    proxy=st.none() | st.dictionaries(WORDS, PLAIN, max_size=FEW),
)  # fmt: skip
SPECS = st.builds(
    StartSpec, folder=NAMES, socket=NAMES, argv=st.lists(NAMES, max_size=FEW), executable=NAMES,
    env=st.dictionaries(NAMES, NAMES, max_size=FEW),
    cwd=NAMES, terminal=st.none() | st.tuples(st.integers(0, 999), st.integers(0, 999)), history=st.integers(0),
    limit=st.integers(0), hold=st.booleans(), grace=st.floats(0, 100), cgroup=st.none() | NAMES,
    umask=st.integers(0, 0o777), memory=st.none() | st.integers(1), tasks=st.none() | st.integers(1),
    sandbox=st.none() | SANDBOXES,
)  # fmt: skip


@given(SPECS)
def test_a_specification_survives_the_way(spec: StartSpec) -> None:
    assert StartSpec.decode(spec.encode()) == spec


def test_what_another_release_adds_or_leaves_out_is_no_error() -> None:
    old = {"folder": "/f", "socket": "/s", "argv": ["a"], "executable": "/a", "env": {}, "cwd": "/"}
    spec = StartSpec.decode(json.dumps({**old, "colour": "red"}).encode())
    assert (spec.argv, spec.terminal, spec.hold, spec.grace) == (["a"], None, True, 0.2)
    assert (spec.sandbox, spec.memory, spec.tasks) == (None, None, None)
    assert spec.rlimits == []


@given(SANDBOXES)
def test_a_sandbox_survives_json(sandbox: Sandbox) -> None:
    again = Sandbox.of(json.loads(json.dumps(sandbox.plain())))
    assert again == sandbox
    assert all(isinstance(fd, int) for fd in again.files)
    assert all(type(entry) is Folder for entry in again.folders)
    assert all(type(entry) is Cover for entry in again.covers)
    assert all(type(entry) is Listen for entry in again.listen)


def test_a_sandbox_of_another_release() -> None:
    raw = {"program": "/b", "options": ["--x"], "colour": "red", "covers": [["/r", "p"]]}
    sandbox = Sandbox.of(raw)
    assert sandbox == Sandbox(program="/b", options=["--x"], covers=[Cover("/r", "p", "")])
    assert (sandbox.files, sandbox.folders, sandbox.listen, sandbox.proxy) == ({}, [], [], None)


def test_bytes_of_any_kind_are_carried() -> None:
    content = bytes(range(256))
    spec = StartSpec("/f", "/s", ["a"], "/a", {}, "/", sandbox=Sandbox("/b", [], {7: content.decode("latin-1")}))
    again = StartSpec.decode(spec.encode()).sandbox
    assert again is not None
    assert again.files[7].encode("latin-1") == content
