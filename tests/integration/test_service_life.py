"""The machine that clients believe in: its start, its stop, what it tells and to whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cowork.service import reachability
from tests.support.client import Client, Message, output, request, types
from tests.support.daemon import RunningDaemon, alive, wait_for

pytestmark = pytest.mark.integration


def boot(name: str = "X", status: str = "reachable") -> list[Message]:
    return [
        {"type": "startupStep", "step": "CERTIFICATE", "status": "started"},
        {"type": "startupStep", "step": "CERTIFICATE", "status": "completed"},
        {"type": "vmStarted", "name": name},
        {"type": "startupStep", "step": "VirtualDiskAttachments", "status": "started"},
        {"type": "startupStep", "step": "VirtualDiskAttachments", "status": "completed"},
        {"type": "networkStatus", "status": "CONNECTED"},
        {"type": "apiReachability", "status": status},
    ]


def reached(event: Message) -> bool:
    return bool(event["type"] == "apiReachability")


START = {"bundlePath": "/a/b/X"}


class Api:
    """An HTTP server that answers every HEAD with ``status`` and counts them."""

    def __init__(self) -> None:
        self.status = 200
        self.heads: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                api.heads.append(self.path)
                self.send_response(api.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


def test_the_guest_before_the_start_in_both_dialects(daemon: RunningDaemon) -> None:
    """LIFE-1, W12."""
    with daemon.client() as new, Client(daemon.service_socket) as old:
        assert new.ask("isGuestConnected") == {"connected": False}
        assert old.ask("isGuestConnected") == {"connected": True}
        assert new.ask("isRunning") == old.ask("isRunning") == {"running": False}
        new.ask("startVM", START)
        assert new.ask("isGuestConnected") == {"connected": True}


def test_the_events_of_a_start_in_their_order(client: Client) -> None:
    """LIFE-2, LIFE-3, LIFE-12, W11: the reply first; a bundle that does not exist is fine."""
    client.subscribe()
    client.send("startVM", START)
    assert client.recv() == {"id": 2, "success": True, "result": {}}
    assert client.until(reached) == boot()


@pytest.mark.parametrize("attempt", range(10))
def test_the_acknowledgement_is_first_even_when_pipelined(daemon: RunningDaemon, attempt: int) -> None:
    """SUB-2, W7."""
    with daemon.client() as c:
        if attempt % 2:
            c.send_raw(request("subscribeEvents", {}, "s") + request("startVM", START, "v"))
        else:
            c.send_raw(request("startVM", START, "v") + request("subscribeEvents", {}, "s"))
        frames = [c.recv() for _ in range(9)]
    replies = [f for f in frames if "success" in f]
    assert {r["id"]: r["success"] for r in replies} == {"s": True, "v": True}
    subscribed = frames.index({"id": "s", "success": True, "result": {"subscribed": True}})
    assert all("success" in f for f in frames[:subscribed]), "an event came before the acknowledgement"
    assert [f for f in frames if "type" in f] == boot()


def test_a_subscriber_that_comes_after_the_start(daemon: RunningDaemon, client: Client) -> None:
    """LIFE-4, W8: nobody was there, so the events are kept."""
    client.ask("startVM", START)
    with daemon.client() as late:
        late.subscribe()
        assert late.until(reached) == boot()


def test_running_between_start_and_stop(client: Client) -> None:
    """LIFE-5."""
    client.ask("startVM", START)
    assert client.ask("isRunning") == {"running": True}
    client.ask("stopVM")
    assert client.ask("isRunning") == {"running": False}
    assert client.ask("isGuestConnected") == {"connected": False}


def test_the_name_of_the_machine(client: Client) -> None:
    """LIFE-2: the client's, else the last element of the bundle's path."""
    client.subscribe()
    client.ask("startVM", {"name": "mine", "bundlePath": "/a/X/"})
    assert client.until(reached) == boot("mine")
    client.ask("stopVM", {"name": "mine"})
    assert client.event() == {"type": "vmStopped", "name": "mine"}
    client.ask("startVM", {"bundlePath": "/a/X/"})
    assert client.until(reached) == boot("X")
    client.ask("stopVM")
    client.event()
    client.ask("startVM")
    assert client.until(reached) == boot("")


def test_a_second_start_repeats_nothing(client: Client) -> None:
    """LIFE-6."""
    client.subscribe()
    client.ask("startVM", START)
    client.ask("startVM", START)
    client.ask("stopVM")
    events = client.until(lambda e: e["type"] == "vmStopped")
    assert events[:-1] == boot()


def test_a_second_start_tells_those_who_were_not_there(daemon: RunningDaemon, client: Client) -> None:
    """LIFE-6, W11: a client that restarts starts the machine again and waits for the events."""
    client.subscribe("first")
    client.ask("startVM", START)
    assert client.until(reached) == boot()
    with daemon.client() as other:
        other.subscribe("second")
        other.ask("startVM", START)
        assert other.until(reached) == boot()
        client.ask("stopVM")
        assert client.event() == {"type": "vmStopped", "name": ""}
        assert other.event() == {"type": "vmStopped", "name": ""}


def test_stop_ends_everything_and_tells_of_it_last(daemon: RunningDaemon, client: Client) -> None:
    """LIFE-7, G69: children and their children are gone, their exits come first."""
    client.subscribe()
    client.ask("startVM", START)
    client.until(reached)
    pids = []
    for n in range(4):
        client.shell(f"p{n}", "sleep 1000 & echo $! $$; wait")
        pids += [int(p) for p in client.until_text(f"p{n}", "\n").split()]
    client.ask("stopVM")
    events = client.until(lambda e: e["type"] == "vmStopped")
    assert sorted(e["id"] for e in events[:-1]) == ["p0", "p1", "p2", "p3"]
    assert all(e == {"type": "exit", "id": e["id"], "exitCode": -1, "signal": "SIGTERM"} for e in events[:-1])
    assert not any(map(alive, pids))
    assert client.ask("isRunning") == {"running": False}
    assert client.ask("isProcessRunning", {"id": "p0"}) == {"running": False, "exitCode": -1}


def test_stop_ends_stubborn_children_together(client: Client) -> None:
    """LIFE-8, G15: they are asked at the same time, so all of them are killed within one second of another."""
    client.subscribe()
    for n in range(4):
        client.shell(f"p{n}", "trap '' INT TERM; echo ready; while :; do sleep 0.05; done")
        client.until_text(f"p{n}", "ready\n")
    client.ask("stopVM")
    events = client.until(lambda e: e["type"] == "vmStopped")
    assert [e["signal"] for e in events if e["type"] == "exit"] == ["SIGKILL"] * 4
    assert types(events) == ["exit"] * 4 + ["vmStopped"]


def test_stop_without_a_name_copies_nothing(daemon: RunningDaemon, client: Client) -> None:
    """LIFE-9, G13."""
    client.subscribe()
    client.spawn("p", "/bin/true")
    client.until_exit("p")
    (daemon.trees / "session" / "file").write_text("x")
    before = sorted(p for p in daemon.place.data.rglob("*"))
    client.ask("stopVM")
    client.event()
    assert sorted(p for p in daemon.place.data.rglob("*")) == before


def test_stop_with_nothing_running(client: Client) -> None:
    """LIFE-5, W11: what clients send first of all, as a clean-up."""
    client.subscribe()
    assert client.ask("stopVM") == {}
    assert client.event() == {"type": "vmStopped", "name": ""}


def test_the_api_is_really_probed(client: Client, api: Api) -> None:
    """LIFE-10, LIFE-11: any HTTP answer counts as reachable."""
    api.status = 500
    client.subscribe()
    client.ask("startVM", {**START, "apiProbeURL": api.url})
    assert client.until(reached) == boot()
    assert api.heads == ["/v1"]


def test_an_api_that_does_not_answer(client: Client, api: Api) -> None:
    """LIFE-10: the first failure is a doubt; nothing is told after stopVM."""
    api.close()
    client.subscribe()
    client.ask("startVM", {**START, "apiProbeURL": api.url})
    assert client.until(reached) == boot(status="probably_unreachable")
    client.ask("stopVM")
    client.ask("startVM", START)
    assert types(client.until(reached)) == ["vmStopped", *types(boot())]


def test_a_status_that_changes_is_told_once(
    stopped: RunningDaemon, api: Api, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """LIFE-10: reachable, probably_unreachable, unreachable, reachable again; nothing is repeated meanwhile."""
    # The same daemon with a shorter period, set before it starts.
    short = tmp_path_factory.mktemp("short")
    (short / "sitecustomize.py").write_text(
        "from cowork.service import reachability as r\n"
        "r.PERIOD = 0.05\n"
        "r.Prober.__init__.__kwdefaults__['period'] = 0.05\n"
    )
    assert reachability.PERIOD == 30.0
    stopped.environment["PYTHONPATH"] = f"{short}:{stopped.environment['PYTHONPATH']}"
    stopped.start()
    with stopped.client() as c:
        c.subscribe()
        c.ask("startVM", {**START, "apiProbeURL": api.url})
        assert c.until(reached) == boot()
        wait_for(lambda: len(api.heads) > 5)
        assert c.ask("isRunning") == {"running": True}
        assert c.seen() == []
        port = api.server.server_address[1]
        api.close()
        assert [c.event()["status"] for _ in range(2)] == ["probably_unreachable", "unreachable"]
        api.server = ThreadingHTTPServer(("127.0.0.1", port), api.server.RequestHandlerClass)
        again = threading.Thread(target=api.server.serve_forever, args=[0.01], daemon=True)
        again.start()
        assert c.event() == {"type": "apiReachability", "status": "reachable"}
        c.ask("stopVM")
        assert c.event()["type"] == "vmStopped"
        heads = len(api.heads)
        api.server.shutdown()
        again.join()
        c.ask("startVM", START)
        assert c.until(reached) == boot()
        assert len(api.heads) <= heads + 1, "still probing after stopVM"


def test_the_daemon_ends_in_the_middle_of_a_probe(stopped: RunningDaemon) -> None:
    """STOP-1: a server that takes the request and never answers does not hold the end up."""
    import socket

    stopped.start()
    with socket.create_server(("127.0.0.1", 0)) as silent, stopped.client() as c:
        c.ask("startVM", {**START, "apiProbeURL": f"http://127.0.0.1:{silent.getsockname()[1]}/"})
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            assert stopped.stop() == 0


def test_the_machine_runs_on_through_a_restart_of_the_daemon(daemon: RunningDaemon) -> None:
    """STOP-4, W12: what is asked after kill -9 is answered truly, and the start is not told again."""
    with daemon.client() as c:
        c.subscribe()
        c.ask("startVM", START)
        assert c.until(reached) == boot()
        c.shell("p", "echo up; exec sleep 1000")
        c.until_text("p", "up\n")
        c.spawn("q", "/bin/sh", "-c", "exit 7")
        c.until_exit("q")
        c.ask("isRunning")
    daemon.restart()
    with daemon.client() as c:
        assert c.ask("isRunning") == {"running": True}
        assert c.ask("isGuestConnected") == {"connected": True}
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": True}
        c.subscribe()
        c.ask("startVM", START)
        c.ask("stopVM")
        events = c.until(lambda e: e["type"] == "vmStopped")
        assert types(events)[-2:] == ["exit", "vmStopped"]
        assert output(events, "p") == ""
        assert types(events)[:-2] in ([], types(boot())), events
