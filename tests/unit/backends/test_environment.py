"""A child's environment, by table and by rule."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.backends.environment import CREDENTIALS, TOKEN, callers_environment, child_environment

Env = dict[str, str]
Asked = dict[str, str | None]


@pytest.mark.parametrize(
    ("inherited", "requested", "token", "expected"),
    [
        ({"A": "1"}, {}, "", {"A": "1"}),
        ({"A": "1"}, {"A": "2"}, "", {"A": "2"}),
        ({"A": "1"}, {"A": ""}, "", {}),
        ({"A": "1"}, {"A": None}, "", {}),
        ({}, {"A": ""}, "", {}),
        # The client's own word about what is scrubbed counts.
        ({"CLAUDECODE": "1", "CLAUDE_CODE_X": "a"}, {"CLAUDE_CODE_X": "b"}, "", {"CLAUDE_CODE_X": "b"}),
        ({"LD_PRELOAD": "x", "LD_LIBRARY_PATH": "y"}, {"LD_LIBRARY_PATH": "z"}, "", {"LD_LIBRARY_PATH": "z"}),
        ({"NOTIFY_SOCKET": "n", "INVOCATION_ID": "i", "JOURNAL_STREAM": "j", "LISTEN_FDS": "1"}, {}, "", {}),
        ({"ELECTRON_RUN_AS_NODE": "1", "ELECTRON_NO_ASAR": "1"}, {}, "", {}),
        ({"PYTHONASYNCIODEBUG": "1", "PYTHONPATH": "p", "VIRTUAL_ENV": "v"}, {}, "", {}),
        ({"COWORK_VM_BACKEND": "host", "COWORK_X": "kept"}, {}, "", {"COWORK_X": "kept"}),
        # Tokens: one credential, never two.
        ({}, {}, "t", {TOKEN: "t"}),
        ({}, {"ANTHROPIC_BASE_URL": "u"}, "t", {TOKEN: "t", "ANTHROPIC_BASE_URL": "u"}),
        ({"ANTHROPIC_API_KEY": "k"}, {}, "t", {"ANTHROPIC_API_KEY": "k"}),
        ({"ANTHROPIC_API_KEY": "k"}, {"ANTHROPIC_API_KEY": ""}, "t", {TOKEN: "t"}),
        ({TOKEN: "mine"}, {}, "", {TOKEN: "mine"}),
        ({TOKEN: "mine"}, {}, "t", {TOKEN: "mine"}),
        ({TOKEN: "mine"}, {TOKEN: ""}, "t", {}),
        ({TOKEN: "mine"}, {TOKEN: None}, "", {}),
        ({TOKEN: "mine"}, {TOKEN: "yours"}, "t", {TOKEN: "yours"}),
        *[({}, {name: "c"}, "t", {name: "c"}) for name in CREDENTIALS],
    ],
)  # fmt: skip
def test_table(inherited: Env, requested: Asked, token: str, expected: Env) -> None:
    got = child_environment(inherited, requested, token=token)
    assert got.pop("TERM")
    assert got == expected


def test_term_and_pwd() -> None:
    assert child_environment({}, {})["TERM"] == "xterm-256color"
    assert child_environment({"TERM": "dumb"}, {})["TERM"] == "dumb"
    assert child_environment({"TERM": "dumb"}, {"TERM": "vt100"})["TERM"] == "vt100"
    assert "PWD" not in child_environment({}, {})
    assert child_environment({"PWD": "/old"}, {"PWD": "/asked"}, cwd="/new")["PWD"] == "/new"


NAMES = st.sampled_from([TOKEN, "ANTHROPIC_API_KEY", "A", "LD_X", "CLAUDE_CODE_X", "TERM", "NOTIFY_SOCKET"])


@given(
    st.dictionaries(NAMES, st.text(min_size=1, max_size=3)),
    st.dictionaries(NAMES, st.one_of(st.none(), st.text(max_size=3))),
    st.text(max_size=3),
)
@settings(derandomize=True, deadline=None, max_examples=300, database=None)
def test_rules(inherited: Env, requested: Asked, token: str) -> None:
    before = dict(inherited)
    env = child_environment(inherited, requested, token=token)
    assert inherited == before
    assert all(env.values()), "nothing is empty"
    for name, value in requested.items():
        if value:
            assert env[name] == value
        elif name != "TERM":
            assert name not in env
    held = [name for name in CREDENTIALS if name in env]
    if token and TOKEN not in requested:
        assert held, "a session without any credential although there was one"
    if TOKEN in env and TOKEN not in requested and TOKEN not in inherited:
        assert held == [TOKEN], "two credentials beside each other"


@pytest.mark.parametrize(
    ("environ", "left_out"),
    [
        ({"A": "1", "EMPTY": "", "LD_PRELOAD": "x", "PYTHONPATH": "p", "VIRTUAL_ENV": "v"}, set()),
        ({"CLAUDE_CODE_USE_BEDROCK": "1", "CLAUDE_CONFIG_DIR": "/c"}, set()),
        ({"NOTIFY_SOCKET": "n", "LISTEN_FDS": "1", "A": "1"}, {"NOTIFY_SOCKET", "LISTEN_FDS"}),
        ({"CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_CONFIG_DIR": "/c", TOKEN: "t"},
         {"CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT"}),
    ],
)  # fmt: skip
def test_a_callers_environment(environ: Env, left_out: set[str]) -> None:
    assert callers_environment(environ) == {k: v for k, v in environ.items() if k not in left_out}
