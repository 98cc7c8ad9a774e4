"""What a holder is told travels unchanged, also between releases."""

from __future__ import annotations

import json
import os

from hypothesis import given
from hypothesis import strategies as st

from cowork.holder.spec import StartSpec

NAMES = st.one_of(st.text(), st.binary().map(os.fsdecode))
SPECS = st.builds(
    StartSpec, folder=NAMES, socket=NAMES, argv=st.lists(NAMES), executable=NAMES, env=st.dictionaries(NAMES, NAMES),
    cwd=NAMES, terminal=st.none() | st.tuples(st.integers(0, 999), st.integers(0, 999)), history=st.integers(0),
    limit=st.integers(0), hold=st.booleans(), grace=st.floats(0, 100), cgroup=st.none() | NAMES,
    umask=st.integers(0, 0o777),
)  # fmt: skip


@given(SPECS)
def test_a_specification_survives_the_way(spec: StartSpec) -> None:
    assert StartSpec.decode(spec.encode()) == spec


def test_what_another_release_adds_or_leaves_out_is_no_error() -> None:
    old = {"folder": "/f", "socket": "/s", "argv": ["a"], "executable": "/a", "env": {}, "cwd": "/"}
    spec = StartSpec.decode(json.dumps({**old, "colour": "red"}).encode())
    assert (spec.argv, spec.terminal, spec.hold, spec.grace) == (["a"], None, True, 0.2)
