"""The methods about no single process and no file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cowork.service.answer import Answer
from cowork.service.handlers import machine
from cowork.service.slots import profile_of
from cowork.wire import replies, requests
from cowork.wire.codec import result_suffix


def call(method: str, service: Any, caller: Any = None, /, **params: Any) -> Any:
    handler: Any = machine.HANDLERS[method]
    return handler(service, caller, requests.METHODS[method](**params))


@pytest.mark.parametrize(
    ("params", "name"),
    [({}, ""), ({"bundle_path": "/a/X"}, "X"), ({"bundle_path": "/a/X/"}, "X"), ({"bundle_path": "X"}, "X"),
     ({"bundle_path": "/a/X", "name": "mine"}, "mine"), ({"bundle_path": "/"}, "")],
)  # fmt: skip
def test_a_start_happens_behind_its_reply(params: dict[str, str], name: str) -> None:
    done: list[object] = []
    service = SimpleNamespace(machine=SimpleNamespace(start=lambda *a: done.append(a)))
    answer = call("startVM", service, api_probe_url="u", **params)
    assert isinstance(answer, Answer)
    assert (answer.result, answer.error, done) == (None, None, [])
    assert answer.after is not None
    answer.after()
    assert done == [(name, "u")]


@pytest.mark.parametrize(
    ("started", "dialect", "connected"),
    [(False, "helper", False), (True, "helper", True), (False, "service", True), (True, "service", True)],
)
def test_whether_the_guest_is_connected(started: bool, dialect: str, connected: bool) -> None:
    service = SimpleNamespace(machine=SimpleNamespace(started=started))
    caller = SimpleNamespace(dialect=dialect)
    assert call("isGuestConnected", service, caller) == result_suffix(replies.GuestConnected(connected))
    assert call("isRunning", service, caller) == result_suffix(replies.Running(started))


def test_a_subscription_is_a_profiles() -> None:
    profiles: list[int] = []
    caller = SimpleNamespace(subscribe=profiles.append)
    assert call("subscribeEvents", None, caller, user_data_name="a", user_data_root="b") == replies.Subscribed(True)
    assert profiles == [profile_of("a", "b")]


def test_the_switches_and_the_constants() -> None:
    service = SimpleNamespace(debug=False)
    assert call("setDebugLogging", service, enabled=True) is None
    assert call("isDebugLoggingEnabled", service) == replies.DebugLogging(True)
    assert call("getDownloadStatus", service) == replies.DownloadStatus("ready")
    assert call("getNetworkDrives", service) == replies.NetworkDrives([])
    for name in ("configure", "createVM", "createDiskImage", "sendGuestResponse"):
        assert call(name, service) is None


def test_a_stop_is_the_services() -> None:
    asked: list[str] = []
    call("stopVM", SimpleNamespace(stop_machine=asked.append), name="m")
    assert asked == ["m"]


def test_configure_logs_no_more_than_it_was_given(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(10)
    call("configure", None, memory_mb=5)
    assert "memory_mb=5" in caplog.text
