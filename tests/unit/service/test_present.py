"""The answers to ``present_files``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.service.present import answer, present


def unmapped(path: str) -> str | None:
    return None


def asking(*paths: str, **more: Any) -> dict[str, Any]:
    call = {"name": "present_files", "arguments": {"files": [{"file_path": path} for path in paths]}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    request = {"subtype": "mcp_message", "server_name": "cowork", "message": message}
    return {"type": "control_request", "request_id": "r", "request": request, **more}


def reply(line: object, **more: Any) -> dict[str, Any] | None:
    text = line if isinstance(line, str) else json.dumps(line)
    data = answer(text, more.get("to_host", unmapped), remote=more.get("remote", False))
    if data is None:
        return None
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    said = json.loads(data)
    assert isinstance(said, dict)
    return said


def test_the_whole_answer(tmp_path: Path) -> None:
    file = tmp_path / 'a "b".txt'
    file.write_text("x")
    for text in (json.dumps(asking(str(file))), json.dumps(asking(str(file)), indent=1, separators=(" , ", " : "))):
        assert reply(text) == {
            "type": "control_response", "response": {"subtype": "success", "request_id": "r", "response": {
                "mcp_response": {"jsonrpc": "2.0", "id": 1, "result": {
                    "content": [{"type": "text", "text": str(file)}], "isError": False,
                }},
            }},
        }  # fmt: skip


@pytest.mark.parametrize("id", [0, -1, 17, "a", "", 'q"', None, 1 << 60, 1.5, "\u2028é"])
def test_ids_are_echoed(id: object) -> None:
    asked = asking(request_id=f"R {id}")
    asked["request"]["message"]["id"] = id
    said = reply(asked)
    assert said is not None
    assert said["response"]["request_id"] == f"R {id}"
    assert said["response"]["response"]["mcp_response"]["id"] == id


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("type",), "control_response"), (("request", "subtype"), "can_use_tool"), (("request_id",), 1),
        (("request", "server_name"), "other"), (("request", "server_name"), None),
        (("request", "message", "method"), "tools/list"), (("request", "message", "params", "name"), "present_files2"),
        (("request", "message", "params", "name"), "mcp__cowork__present_files"),
        (("request", "message", "params", "arguments"), {"files": "x", "present_files": 1}),
        (("request", "message", "params", "arguments"), {"files": [{"path": "x"}]}),
        (("request", "message", "params", "arguments"), {"files": [{"file_path": 1}]}), (("request",), None),
    ],
)  # fmt: skip
def test_what_is_no_such_request(place: tuple[str, ...], value: object) -> None:
    asked = asking("/x")
    at = asked
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    assert reply(asked) is None


@pytest.mark.parametrize(
    "line",
    ["", "present_files", '"control_request" present_files', '{"a":"present_files","control_request":' + "[" * 5000],
)
def test_what_is_no_json(line: str) -> None:
    assert reply(line) is None


@given(st.text())
def test_other_text_is_no_request(text: str) -> None:
    assert answer(text, unmapped, remote=False) is None
    assert answer(f'{{"type":"control_request","present_files":{json.dumps(text)}}}', unmapped, remote=False) is None


def test_no_files_make_an_empty_list() -> None:
    assert present([], unmapped, remote=True) == {"content": [], "isError": False}
    said = reply(asking())
    assert said is not None
    assert said["response"]["response"]["mcp_response"]["result"]["content"] == []


def test_some_that_are_not_there(tmp_path: Path) -> None:
    """Those that are come first, each alone; then one text that names the others."""
    there = tmp_path / "f"
    there.write_text("x")
    missing = [str(tmp_path / "gone"), str(tmp_path), "relative", "", "/dev/null", "/\0", "/" + "x" * 5000]
    result = present([missing[0], str(there), *missing[1:]], unmapped, remote=False)
    first, second = (item["text"] for item in result["content"])
    assert first == str(there)
    assert all(path in second for path in missing)
    assert result["isError"] is True
    assert len(present(missing, unmapped, remote=True)["content"]) == 1


def test_guest_paths(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    table = {"/sessions/otter/f": str(tmp_path / "f"), "/sessions/otter/gone": str(tmp_path / "gone")}
    result = present(list(table), table.get, remote=False)
    assert result["content"][0]["text"] == str(tmp_path / "f")
    assert str(tmp_path / "gone") in result["content"][1]["text"], "by the name that the session knows"


def test_a_reminder_names_files_as_the_session_does(tmp_path: Path) -> None:
    """The client reads host paths, the session has to send the paths that are real to it."""
    host = str(tmp_path / "f")
    (tmp_path / "f").write_text("x")
    made = present([host], unmapped, remote=True, to_seen={host: "/sessions/otter/mnt/f"}.get)
    texts = [item["text"] for item in made["content"]]
    assert texts[0] == host
    assert "/sessions/otter/mnt/f" in texts[1]
    assert host not in texts[1]


def test_a_reminder_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    texts = [item["text"] for item in present([str(tmp_path / "f"), "/gone"], unmapped, remote=True)["content"]]
    assert len(texts) == 3
    assert "SendUserMessage" in texts[2]
    assert str(tmp_path / "f") in texts[2]
    assert "/gone" not in texts[2]
