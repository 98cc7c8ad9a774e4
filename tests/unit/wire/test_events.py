"""Events as the clients read them, and back."""

import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from cowork.wire import events
from cowork.wire.codec import decode_event, encode_event
from cowork.wire.events import Event

FAST = settings(derandomize=True, deadline=None, max_examples=200, database=None)

EXAMPLES: list[tuple[Event, str]] = [
    (events.Stdout("p1", "line\r\n\0"), '{"type":"stdout","id":"p1","data":"line\\r\\n\\u0000"}'),
    (events.Stderr("p1", "é<>&\u2028"), '{"type":"stderr","id":"p1","data":"é<>&\u2028"}'),
    (events.Exit("p1", 0), '{"type":"exit","id":"p1","exitCode":0}'),
    (events.Exit("p1", -1, "SIGTERM"), '{"type":"exit","id":"p1","exitCode":-1,"signal":"SIGTERM"}'),
    (
        events.Exit("p1", -1, "SIGKILL", 1),
        '{"type":"exit","id":"p1","exitCode":-1,"signal":"SIGKILL","oomKillCount":1}',
    ),
    (events.Exit("p1", 137, oom_kill_count=0), '{"type":"exit","id":"p1","exitCode":137,"oomKillCount":0}'),
    (
        events.ProcessError("p1", "no such command", True),
        '{"type":"error","id":"p1","message":"no such command","fatal":true}',
    ),
    (
        events.StartupStep(events.CERTIFICATE, events.STARTED),
        '{"type":"startupStep","step":"CERTIFICATE","status":"started"}',
    ),
    (
        events.StartupStep(events.VIRTUAL_DISK_ATTACHMENTS, events.COMPLETED),
        '{"type":"startupStep","step":"VirtualDiskAttachments","status":"completed"}',
    ),
    (events.VmStarted(), '{"type":"vmStarted","name":""}'),
    (events.VmStopped("old"), '{"type":"vmStopped","name":"old"}'),
    (events.NetworkStatus(events.CONNECTED), '{"type":"networkStatus","status":"CONNECTED"}'),
    (events.NetworkStatus(events.NOT_CONNECTED), '{"type":"networkStatus","status":"NOT_CONNECTED"}'),
    (events.ApiReachability(events.REACHABLE), '{"type":"apiReachability","status":"reachable"}'),
    (
        events.ApiReachability(events.PROBABLY_UNREACHABLE),
        '{"type":"apiReachability","status":"probably_unreachable"}',
    ),
    (events.ApiReachability(events.UNREACHABLE), '{"type":"apiReachability","status":"unreachable"}'),
    (events.GuestRequest("1", "ask"), '{"type":"request","id":"1","method":"ask","params":{}}'),
    (
        events.GuestRequest(7, "ask", Raw(b'{"a":[1.50,null]}')),
        '{"type":"request","id":7,"method":"ask","params":{"a":[1.50,null]}}',
    ),
]


@pytest.mark.parametrize(("event", "text"), EXAMPLES)
def test_the_examples_there_and_back(event: Event, text: str) -> None:
    frame = encode_event(event)
    assert frame[4:].decode() == text
    assert decode_event(memoryview(frame)[4:]) == event


@pytest.mark.parametrize(("event", "text"), EXAMPLES)
def test_the_type_comes_first_and_no_rpc_key_is_there(event: Event, text: str) -> None:
    keys = list(json.loads(encode_event(event)[4:]))
    assert keys[0] == "type"
    assert "success" not in keys


def test_every_kind_of_event_has_an_example() -> None:
    assert {type(event) for event, _ in EXAMPLES} == set(get_args(Event))


def test_keys_of_a_later_version_are_ignored() -> None:
    assert decode_event(b'{"id":"p","later":1,"type":"stdout","data":"x"}') == events.Stdout("p", "x")


@FAST
@given(st.text(), st.text(), st.integers(-1, 255), st.text(min_size=1) | st.just(UNSET))
def test_any_text_goes_there_and_back(id: str, text: str, code: int, signal: str) -> None:
    sent: list[Event] = [
        events.Stdout(id, text),
        events.Stderr(id, text),
        events.Exit(id, code, signal),
        events.ProcessError(id, text, fatal=False),
    ]
    for event in sent:
        assert decode_event(encode_event(event)[4:]) == event
