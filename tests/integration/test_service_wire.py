"""Frames, envelopes, dispatch and parameters, as a client sees them."""

from __future__ import annotations

import os
import re
import resource
import select
import socket
from pathlib import Path

import pytest

from tests.support.client import MAX_FRAME, Client, Closed, raw_frame, request
from tests.support.daemon import RunningDaemon, wait_for

pytestmark = pytest.mark.integration

RUNNING = {"success": True, "result": {"running": False}}


def still_serves(daemon: RunningDaemon) -> None:
    with daemon.client() as another:
        assert another.ask("isRunning") == {"running": False}


def test_a_request_gets_its_reply_with_and_without_an_id(daemon: RunningDaemon) -> None:
    """WIRE-1."""
    with daemon.client() as c:
        c.send_raw(request("isRunning", id=1))
        assert c.recv() == {"id": 1, **RUNNING}
        c.send_raw(request("isRunning"))
        assert c.recv() == RUNNING


def test_a_request_in_single_bytes(client: Client) -> None:
    """WIRE-2."""
    for byte in request("isRunning", {}, 9):
        client.send_raw(bytes([byte]))
    assert client.recv() == {"id": 9, **RUNNING}


def test_several_requests_in_one_write(client: Client) -> None:
    """WIRE-3."""
    client.send_raw(b"".join(request("isRunning", id=n) for n in range(3)))
    assert [client.recv()["id"] for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("header", "named"),
    [(0, "0"), (MAX_FRAME + 1, str(MAX_FRAME + 1)), (0xFFFFFFFF, str(0xFFFFFFFF))],
)
def test_a_length_that_no_frame_has_is_named_and_ends_the_connection(
    daemon: RunningDaemon, header: int, named: str
) -> None:
    """WIRE-4, WIRE-5, WIRE-7."""
    before = daemon.memory()
    with daemon.client() as c:
        c.send_raw(request("isRunning", id=1) + header.to_bytes(4, "big") + b"x" * 1000)
        replies = c.until_closed()
    assert replies[0] == {"id": 1, **RUNNING}
    assert len(replies) == 2
    assert replies[1]["success"] is False
    assert "id" not in replies[1]
    assert f"length {named}" in replies[1]["error"]
    assert str(MAX_FRAME) in replies[1]["error"]
    assert daemon.memory() - before < 4 << 20
    still_serves(daemon)


def test_a_frame_of_exactly_the_limit_is_answered(client: Client) -> None:
    """WIRE-6, WIRE-8."""
    body = b'{"method":"isRunning","id":5,"params":{"name":"%s"}}'
    client.send_raw(raw_frame(body % (b"x" * (MAX_FRAME - len(body) + 2))))
    assert client.recv() == {"id": 5, **RUNNING}
    client.send_raw(raw_frame(body % (b"y" * (8 << 20))))
    assert client.recv() == {"id": 5, **RUNNING}


def test_a_frame_cut_short_has_no_effect(daemon: RunningDaemon) -> None:
    """WIRE-9."""
    with daemon.client() as c:
        c.send_raw(request("startVM")[:-3])
        c.half_close()
        assert c.until_closed() == []
    still_serves(daemon)


@pytest.mark.parametrize(
    "body",
    [
        b"{bad", b"[]", b'"x"', b"5", b"null", b"{}", b'{"method":"isRunning","id":1} x', b'{"method":5,"id":7}',
        b'{"method":null}', b"\xff\xfe", b" ", b'{"method":"isRunning"', b"[" * 200_000, b'{"a":' * 200_000,
        b'{"method":"isRunning","id":1,"params":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
def test_a_body_that_is_no_request_costs_nobody_anything(daemon: RunningDaemon, body: bytes) -> None:
    """WIRE-10 to WIRE-14, WIRE-24: one answer each, and the frames behind it live on."""
    with daemon.client() as c:
        c.send_raw(raw_frame(body) + request("isRunning", id="behind"))
        first = c.recv()
        assert c.recv() == {"id": "behind", **RUNNING}
        c.send_raw(request("isRunning", id="later"))
        assert c.recv() == {"id": "later", **RUNNING}
    assert first["success"] is False
    assert isinstance(first["error"], str)
    assert first["error"]
    assert first.get("id") in (None, 7, 1)


def test_bad_json_is_a_parse_error(client: Client) -> None:
    """WIRE-10, W1."""
    client.send_raw(raw_frame(b"{bad"))
    reply = client.recv()
    assert reply["error"].startswith("Parse error: ")
    assert set(reply) == {"success", "error"}


@pytest.mark.parametrize(
    "id_text",
    [
        "0",
        "7",
        '"abc"',
        "1.5",
        '{"a":1}',
        "[1,null]",
        "true",
        "12345678901234567890",
        "-0",
        "1e400",
        '"\\u00e9\\/"',
        "1.0",
    ],
)
def test_ids_come_back_verbatim(client: Client, id_text: str) -> None:
    """WIRE-15, WIRE-16: digit for digit, letter for letter; in errors, too."""
    for method in ("isRunning", "nope"):
        client.send_raw(raw_frame(b'{"method":"%s","id":%s}' % (method.encode(), id_text.encode())))
        assert b'"id":' + id_text.encode() + b"," in client.recv_body()


def test_an_id_of_null_is_not_lost(client: Client) -> None:
    """WIRE-17, W3: echoed if present."""
    client.send_raw(raw_frame(b'{"method":"isRunning","id":null}'))
    assert client.recv() == {"id": None, **RUNNING}


def test_invalid_utf8_inside_a_string_ends_nothing(client: Client) -> None:
    """WIRE-18."""
    client.send_raw(raw_frame(b'{"method":"isRunning","id":"\xff"}'))
    client.send_raw(raw_frame(b'{"method":"isRunning","id":2,"params":{"name":"\xff\xc3("}}'))
    assert "success" in client.recv()
    assert client.recv() == {"id": 2, **RUNNING}


def test_a_lone_surrogate_reaches_the_child_as_a_replacement_character(client: Client) -> None:
    """WIRE-19."""
    client.subscribe()
    client.spawn("p", "/bin/cat")
    client.send_raw(raw_frame(b'{"method":"writeStdin","id":"w","params":{"id":"p","data":"a\\ud800b\\n"}}'))
    assert client.reply("w")["success"] is True
    assert client.until_text("p", "\n") == "a�b\n"


def test_a_client_that_has_closed_its_half_gets_its_replies(daemon: RunningDaemon, tmp_path: Path) -> None:
    """WIRE-20: also those that take a while (a process is started, a file is read on a thread)."""
    with daemon.client() as c:
        c.send_raw(request("isRunning", id=1))
        spawn = {"id": "p", "name": "s", "command": "/bin/true", "cwd": str(tmp_path)}
        c.send_raw(request("spawn", spawn, 2) + request("readFile", {"processName": "s", "filePath": "no"}, 3))
        c.half_close()
        replies = {reply["id"]: reply["success"] for reply in c.until_closed()}
    assert replies == {1: True, 2: True, 3: False}


def test_a_client_that_leaves_before_its_reply(daemon: RunningDaemon) -> None:
    """WIRE-21: 1,000 times, no descriptor and no memory stays behind."""
    slow = request("readFile", {"processName": "s", "filePath": "no"}, 1)
    for n in range(1000):
        with daemon.client() as c:
            c.send_raw(slow if n % 2 else request("isRunning", id=1))
        if n == 100:
            still_serves(daemon)
            fds = daemon.fds()
    still_serves(daemon)
    wait_for(lambda: daemon.fds() <= fds + 3, "descriptors of connections that are gone")


def test_twenty_thousand_pipelined_requests(daemon: RunningDaemon) -> None:
    """WIRE-22."""
    count = 20_000
    before = daemon.memory()
    with daemon.client() as c:
        batch = b"".join(request("isRunning", id=n) for n in range(1000, 1000 + count))
        at = 0
        received = 0
        c.sock.setblocking(False)
        data = bytearray()
        while received < count:
            readable, writable, _ = select.select([c.sock], [c.sock] if at < len(batch) else [], [], 30)
            assert readable or writable, "nothing in time"
            if writable:
                at += c.sock.send(batch[at : at + 65536])
            if readable:
                data += c.sock.recv(1 << 18)
            received = data.count(b'"running":false')
    assert received == count
    assert sorted(map(int, re.findall(rb'"id":(\d+),', data))) == list(range(1000, 1000 + count))
    assert daemon.memory() - before < 16 << 20


def test_a_hundred_connections_at_once(daemon: RunningDaemon) -> None:
    """WIRE-23."""
    clients = [daemon.client() for _ in range(100)]
    try:
        for c in clients:
            c.send_raw(b"".join(request("isRunning", id=n) for n in range(10)))
        for c in clients:
            assert [c.recv()["id"] for _ in range(10)] == list(range(10))
    finally:
        for c in clients:
            c.close()


def test_replies_that_nobody_reads(daemon: RunningDaemon) -> None:
    """WIRE-25: the daemon stops reading that client and its memory is bounded, others are served, nothing is lost."""
    before = daemon.memory()
    batch = b"".join(request("isRunning", id=n) for n in range(100_000, 300_000))
    with daemon.client() as greedy:
        greedy.sock.setblocking(False)
        sent = 0
        stuck = 0
        while sent < len(batch) and stuck < 20:
            try:
                sent += greedy.sock.send(batch[sent : sent + 65536])
                stuck = 0
            except BlockingIOError:
                stuck += 1
                still_serves(daemon)
        assert sent < len(batch), "the daemon has read everything"
        assert daemon.memory() - before < 16 << 20
        # Once the client reads, it gets all of it.
        greedy.sock.setblocking(True)
        whole = sent - sent % len(request("isRunning", id=100_000))
        expected = whole // len(request("isRunning", id=100_000))
        for n in range(expected):
            assert greedy.recv() == {"id": 100_000 + n, **RUNNING}


def test_two_thousand_idle_connections(daemon: RunningDaemon) -> None:
    """WIRE-26: served beside another client, little memory each, and no descriptor stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip(f"only {hard} descriptors allowed")
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (4096, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    fds, before = daemon.fds(), daemon.memory()
    sockets: list[socket.socket] = []
    try:
        for n in range(2000):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.settimeout(30)
            sock.connect(str(daemon.socket))
            if n % 100 == 0:
                still_serves(daemon)
        still_serves(daemon)
        wait_for(lambda: daemon.fds() >= fds + 1990, "all of them accepted")
        # asyncio's debug mode keeps a traceback with every object, so this is far above the real figure.
        assert daemon.memory() - before < 2000 * 24 * 1024
    finally:
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: daemon.fds() <= fds + 2, "descriptors of closed connections")


@pytest.mark.parametrize(
    "method", ["nope", "constructor", "toString", "__proto__", "__class__", "", "isrunning", "_serve"]
)
def test_an_unknown_method_in_both_dialects(daemon: RunningDaemon, method: str) -> None:
    """DISP-1, DISP-2, W4."""
    with daemon.client() as new, Client(daemon.service_socket) as old:
        assert new.refusal(method, {"a": 1}) == f"Unknown method: {method}"
        assert old.call(method) == {"id": 1, "success": True, "result": {}}
        assert old.call(method) == {"id": 2, "success": True, "result": {}}
    assert daemon.stderr().count(f"unknown method {method!r}") == 1


def test_network_drives_and_download_status(client: Client) -> None:
    """DISP-3, DISP-11, W18."""
    assert client.ask("getNetworkDrives") == {"drives": []}
    assert client.ask("getDownloadStatus") == {"status": "ready"}


@pytest.mark.parametrize(
    "method", ["configure", "createVM", "stopVM", "pruneSessionCaches", "sendGuestResponse", "createDiskImage"]
)
def test_missing_and_null_params_are_none_at_all(client: Client, method: str) -> None:
    """DISP-4, DISP-7, DISP-10, W5."""
    assert client.call(method)["success"] is True
    client.send_raw(raw_frame(b'{"method":"%s","id":"n","params":null}' % method.encode()))
    assert client.reply("n")["success"] is True
    assert client.call(method, {})["success"] is True
    assert client.call(method, {"unheardOf": [1]})["success"] is True


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("configure", {"memoryMB": 1.5}, "memoryMB"), ("configure", {"memoryMB": "1"}, "memoryMB"),
        ("configure", {"memoryMB": True}, "memoryMB"), ("configure", {"sessionOnly": 1}, "sessionOnly"),
        ("spawn", {"args": ["a", 1]}, "args"), ("spawn", {"env": {"A": 1}}, "env"), ("spawn", {"id": 5}, "id"),
        ("spawn", {"additionalMounts": {"m": {"path": 1}}}, "additionalMounts"),
        ("writeStdin", {"id": "p", "data": 5}, "data"), ("writeStdin", {"id": "p", "data": b"x".hex().split()}, "data"),
        ("kill", {"id": ["p"]}, "id"), ("kill", {"id": "p", "signal": 1.5}, "signal"),
        ("kill", {"id": "p", "signal": True}, "signal"),
        ("deleteSessionDirs", {"names": "x"}, "names"), ("setDebugLogging", {"enabled": "yes"}, "enabled"),
        ("readFile", {"filePath": {}}, "filePath"), ("startVM", {"bundlePath": 1}, "bundlePath"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused_by_name(client: Client, method: str, params: object, field: str) -> None:
    """DISP-5, DISP-6, ENV-2, IN-13, W5."""
    text = client.refusal(method, params)
    assert text.startswith("Invalid params: ")
    assert field in text


@pytest.mark.parametrize("params", [[1], "x", 5, True])
def test_params_that_are_no_object(client: Client, params: object) -> None:
    """DISP-6: tolerant methods answer, the others name the fault."""
    assert client.ask("isRunning", params) == {"running": False}
    assert client.ask("isGuestConnected", params) == {"connected": False}
    for method in ("configure", "spawn", "kill", "writeStdin", "startVM", "readFile", "stopVM"):
        assert client.refusal(method, params).startswith("Invalid params")


def test_the_configuration_of_a_real_client_is_taken(client: Client) -> None:
    """DISP-5."""
    params = {
        "memoryMB": 4096,
        "cpuCount": 2,
        "networkDrives": [{"a": 1}],
        "sessionOnly": True,
        "userDataName": "Claude",
    }
    assert client.ask("configure", params) == {}


def test_a_slow_request_delays_no_other(daemon: RunningDaemon) -> None:
    """DISP-8: the reply of a stopVM that has to wait for a stubborn child comes after that of a later request."""
    with daemon.client() as c:
        c.subscribe()
        c.shell("p", "trap '' TERM; echo ready; while :; do sleep 1; done")
        c.until_text("p", "ready\n")
        c.send_raw(request("stopVM", id="slow") + request("isRunning", id="fast"))
        assert c.reply("fast")["success"] is True
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": True}
        assert c.call("kill", {"id": "p", "signal": "KILL"})["success"] is True
        assert c.reply("slow")["success"] is True


def test_requests_of_the_small_kind_succeed(daemon: RunningDaemon, client: Client) -> None:
    """DISP-10."""
    assert client.ask("createVM", {"bundlePath": "/a/b", "diskSizeGB": 10}) == {}
    assert client.ask("addApprovedOauthToken", {"token": "t"}) == {}
    assert client.ask("createDiskImage", {"diskName": "x", "sizeGiB": 1}) == {}
    assert client.ask("sendGuestResponse", {"id": "1", "resultJson": "{}"}) == {}


def test_debug_logging_is_one_switch(daemon: RunningDaemon) -> None:
    """DISP-12."""
    with daemon.client() as one, Client(daemon.service_socket) as other:
        assert other.ask("isDebugLoggingEnabled") == {"enabled": False}
        assert one.ask("setDebugLogging", {"enabled": True}) == {}
        assert other.ask("isDebugLoggingEnabled") == {"enabled": True}
        one.ask("setDebugLogging", {"enabled": False})
        assert other.ask("isDebugLoggingEnabled") == {"enabled": False}


def test_a_connection_that_was_refused_a_frame_reads_no_more(daemon: RunningDaemon) -> None:
    """W1: nothing behind a bad length has an effect."""
    with daemon.client() as c:
        c.send_raw(b"\0\0\0\0" + request("startVM", id=1))
        assert len(c.until_closed()) == 1
        with pytest.raises((Closed, BrokenPipeError, ConnectionResetError)):
            c.call("isRunning")
    still_serves(daemon)
    assert os.path.exists(daemon.socket)
