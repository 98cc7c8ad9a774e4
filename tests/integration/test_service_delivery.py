"""Output and exits as subscribers get them: every byte, in order, once, whoever stalls or goes away."""

from __future__ import annotations

import json
import random
import sys

import pytest

from cowork.holder.spool import SEGMENT
from tests.support.client import MAX_FRAME, Client, Closed, Message, output, spawning, types
from tests.support.daemon import RunningDaemon, alive, wait_for

pytestmark = pytest.mark.integration


def python(script: str) -> list[str]:
    """A command line that runs ``script`` with ``out`` and ``err`` as raw writers."""
    prelude = "import os,sys,time\nout=lambda b:os.write(1,b)\nerr=lambda b:os.write(2,b)\n"
    return [sys.executable, "-I", "-S", "-c", prelude + script]


def numbered(first: int, last: int) -> str:
    return "".join(f"{n}\n" for n in range(first, last + 1))


def test_fifty_thousand_lines_in_order_and_the_exit_last(client: Client) -> None:
    """OUT-1, SPAWN-1."""
    client.subscribe()
    assert client.spawn("p", "/usr/bin/seq", "50000") == {"id": "p", "failedMounts": []}
    assert client.seen() == [], "an event came before the reply"
    events = client.until_exit("p")
    assert output(events, "p") == numbered(1, 50_000)
    assert events[-1] == {"type": "exit", "id": "p", "exitCode": 0}
    assert all(e["data"].endswith("\n") for e in events[:-1]), "events end at a line's end"
    client.ask("stopVM")
    assert client.event()["type"] == "vmStopped", "the exit was not the last of it"


def test_twenty_children_at_once(client: Client) -> None:
    """OUT-2: order per child, no exit before the last of its output."""
    client.subscribe()
    names = [f"p{n}" for n in range(20)]
    for name in names:
        client.send("spawn", spawning(name, "/usr/bin/seq", "1", "40000"))
    events = client.until_exit(*names)
    for name in names:
        mine = [e for e in events if e["id"] == name]
        assert output(mine, name) == numbered(1, 40_000)
        assert types(mine).index("exit") == len(mine) - 1


def test_bytes_survive(client: Client) -> None:
    """OUT-3, OUT-12: no final newline, CR, empty lines, NUL, control characters."""
    text = 'a\r\n\n\r\r\n\0\x1b[1mb\x7f\t\b\f\x01é€😀\u2028\n{<>&"\\}\nlast'
    client.subscribe()
    client.spawn("p", *python(f"out({text.encode()!r})"))
    assert output(client.until_exit("p"), "p") == text


def test_invalid_bytes_become_one_replacement_character_each(client: Client) -> None:
    """OUT-4, W10."""
    client.subscribe()
    client.spawn("p", *python(r"out(b'a\xff\xfe\n\xe2\x82\nb\xed\xa0\x80\n\xf0\x9f')"))
    assert output(client.until_exit("p"), "p") == "a\ufffd\ufffd\n\ufffd\ufffd\nb\ufffd\ufffd\ufffd\n\ufffd\ufffd"


def test_half_a_character_waits_for_its_rest(client: Client) -> None:
    """OUT-5: what is whole is passed on, the half is held until it is whole."""
    client.subscribe()
    client.spawn(
        "p", *python("out('aé'.encode()[:2]); sys.stdin.readline(); out('é'.encode()[1:]); sys.stdin.readline()")
    )
    assert client.event() == {"type": "stdout", "id": "p", "data": "a"}
    client.ask("writeStdin", {"id": "p", "data": "\n"})
    assert client.event() == {"type": "stdout", "id": "p", "data": "é"}


def test_a_tail_without_a_newline_is_passed_on_after_a_silence(client: Client) -> None:
    """OUT-3, W10: a prompt that waits for input."""
    client.subscribe()
    client.spawn("p", *python("out(b'line\\nname? '); out(sys.stdin.readline().encode())"))
    assert client.until_text("p", "name? ") == "line\nname? "
    client.ask("writeStdin", {"id": "p", "data": "ana\n"})
    assert output(client.until_exit("p"), "p") == "ana\n"


def test_split_characters_in_a_long_stream(client: Client) -> None:
    """OUT-5, OUT-12: 2 MB of characters of all widths, written in pieces that do not care."""
    script = (
        "import random\nr=random.Random(4)\n"
        "t=''.join(r.choice('a\\n\\r\\0é€😀') for _ in range(700_000)).encode()\n"
        "at=0\n"
        "while at<len(t):\n n=r.randrange(1,9000)\n at+=out(t[at:at+n])\n"
    )
    r = random.Random(4)
    text = "".join(r.choice("a\n\r\0é€😀") for _ in range(700_000))
    client.subscribe()
    client.spawn("p", *python(script))
    assert output(client.until_exit("p"), "p") == text


@pytest.mark.parametrize("kind", ["x", "<", '"', "\\x01", "€"])
def test_a_line_longer_than_a_frame(client: Client, kind: str) -> None:
    """OUT-6, OUT-7, W2: it arrives in pieces of at most 256 KiB, each frame below the limit."""
    count = 12 << 20 if kind == "x" else 4 << 20
    client.subscribe()
    client.spawn("p", *python(f"sys.stdout.write('{kind}'*{count}+'\\n')"), env={"PYTHONIOENCODING": "utf-8"})
    got = 0
    character = "\x01" if kind == "\\x01" else kind
    while True:
        body = client.recv_body()
        assert len(body) <= MAX_FRAME
        event: Message = json.loads(body)
        if event["type"] == "exit":
            break
        assert len(event["data"].encode()) <= 256 * 1024
        assert set(event["data"]) <= {character, "\n"}
        got += len(event["data"])
    assert got == count + 1
    assert event == {"type": "exit", "id": "p", "exitCode": 0}


def test_much_output_without_a_newline_needs_little_memory(daemon: RunningDaemon, client: Client) -> None:
    """OUT-8: 300 MB of it."""
    client.subscribe()
    before = daemon.memory("VmHWM")
    client.shell("p", "head -c 300000000 /dev/zero | tr '\\0' x")
    got = 0
    while (event := client.event())["type"] == "stdout":
        got += len(event["data"])
    assert got == 300_000_000
    assert event["exitCode"] == 0
    assert daemon.memory("VmHWM") - before < 24 << 20


def test_a_grandchild_that_keeps_the_streams_open(client: Client) -> None:
    """OUT-9, G8: the exit follows the leader's end, not the pipe's; the grandchild is cleaned up."""
    client.subscribe()
    client.shell("p", "sleep 1000 & echo $!")
    events = client.until_exit("p")
    assert events[-1]["exitCode"] == 0
    assert not alive(int(output(events, "p")))


def test_late_output_of_a_grandchild_within_the_grace(client: Client) -> None:
    """OUT-9."""
    client.subscribe()
    client.shell("p", "(sleep 0.05; echo late) & echo early")
    events = client.until_exit("p")
    assert output(events, "p") == "early\nlate\n"
    assert types(events)[-1] == "exit"


def test_stderr_is_stderr_but_for_stream_json(client: Client) -> None:
    """OUT-11, W10."""
    lines = [b"noise\n", b'{"type":"assistant"}\n', b'{"type":"result","x":[1]}\n', b"{ not json\n", b"[1]\n", b"tail"]
    client.subscribe()
    client.spawn("p", *python(f"for l in {lines!r}: err(l)"))
    events = client.until_exit("p")
    assert output(events, "p") == '{"type":"assistant"}\n{"type":"result","x":[1]}\n'
    assert output(events, "p", "stderr") == "noise\n{ not json\n[1]\ntail"
    whole = "".join(e["data"] for e in events[:-1])
    assert whole.startswith('noise\n{"type":"assistant"}\n'), "the order of arrival"


def test_other_requests_are_served_on_a_subscribed_connection(client: Client) -> None:
    """SUB-1, W7; a second subscription on the same connection changes nothing."""
    client.subscribe().subscribe()
    assert client.ask("isRunning") == {"running": False}
    client.spawn("p", "/bin/echo", "once")
    assert [e.get("data") for e in client.until_exit("p")] == ["once\n", None]


def test_two_subscribers_get_everything(daemon: RunningDaemon) -> None:
    """SUB-3: one that leaves does not disturb the other."""
    with daemon.client() as one, daemon.client() as two, daemon.client() as three:
        one.subscribe("one")
        two.subscribe("two")
        three.subscribe("three")
        one.spawn("p", "/usr/bin/seq", "300000")
        three.event()
        three.close()
        for each in (one, two):
            events = each.until_exit("p")
            assert output(events, "p") == numbered(1, 300_000)
            assert types(events).count("exit") == 1


def test_two_connections_of_one_profile_get_everything(daemon: RunningDaemon) -> None:
    """SUB-3, SUB-6: the same profile twice."""
    with daemon.client() as one, daemon.client() as two:
        one.subscribe("same")
        two.subscribe("same")
        one.spawn("p", "/usr/bin/seq", "20000")
        for each in (one, two):
            assert output(each.until_exit("p"), "p") == numbered(1, 20_000)


def test_what_nobody_took_is_kept_for_the_next(daemon: RunningDaemon, client: Client) -> None:
    """SUB-4: output and exit, once."""
    client.spawn("p", "/usr/bin/seq", "1000")
    client.spawn("q", "/bin/sh", "-c", "echo x >&2; exit 3")
    wait_for(lambda: not client.ask("isProcessRunning", {"id": "p"})["running"])
    wait_for(lambda: not client.ask("isProcessRunning", {"id": "q"})["running"])
    with daemon.client() as late:
        events = late.subscribe().until_exit("p", "q")
        assert output(events, "p") == numbered(1, 1000)
        assert output(events, "q", "stderr") == "x\n"
        assert [e["exitCode"] for e in events if e["type"] == "exit" and e["id"] == "q"] == [3]
    with daemon.client() as later:
        later.subscribe()
        later.spawn("r", "/bin/echo", "new")
        assert {e["id"] for e in later.until_exit("r")} == {"r"}, "delivered twice"


@pytest.mark.parametrize("profile", ["same", "another"])
def test_a_dropped_subscription_misses_nothing(daemon: RunningDaemon, profile: str) -> None:
    """SUB-5: the child prints and ends meanwhile; whoever subscribes next gets the rest, once."""
    with daemon.client() as control:
        with daemon.client() as first:
            first.subscribe("same")
            first.spawn("p", "/bin/sh", "-c", "seq 100; read x; seq 101 200000; exit 5")
            got = first.until_text("p", "\n100\n")
        control.ask("writeStdin", {"id": "p", "data": "\n"})
        wait_for(lambda: not control.ask("isProcessRunning", {"id": "p"})["running"])
        with daemon.client() as second:
            events = second.subscribe(profile).until_exit("p")
        assert got + output(events, "p") == numbered(1, 200_000)
        assert events[-1]["exitCode"] == 5


def test_many_resubscriptions_in_the_middle_of_a_stream(daemon: RunningDaemon) -> None:
    """SUB-5, W8: no gap; at each drop at most the event that was under way comes again."""
    with daemon.client() as control:
        control.spawn("p", "/usr/bin/seq", "-f", "%099.0f", "300000")
        expected = "".join(f"{n:099d}\n" for n in range(1, 300_001))
        at = 0
        last = ""
        exits = 0
        for turn in range(6):
            with daemon.client() as c:
                c.subscribe()
                first = True
                taken = 0
                while turn == 5 or taken < 8:
                    event = c.event()
                    if event["type"] == "exit":
                        exits += 1
                        break
                    data = event["data"]
                    if first and data == last and not expected.startswith(data, at):
                        pass  # the one event that was under way
                    else:
                        assert expected.startswith(data, at), f"a gap or a repeat at {at} in turn {turn}"
                        at += len(data)
                    first, last = False, data
                    taken += 1
                # What the socket holds by now was taken by the kernel: this connection's client has it.
                c.half_close()
                try:
                    while True:
                        message = c.recv()
                        if message["type"] == "exit":
                            exits += 1
                            continue
                        assert expected.startswith(message["data"], at)
                        at += len(message["data"])
                        last = message["data"]
                except Closed:
                    pass
        assert at == len(expected)
        assert exits == 1


def test_a_stalled_subscriber_holds_up_nobody_else(daemon: RunningDaemon) -> None:
    """SUB-7, W8: the other gets all there is, memory stays, requests are served, and the stalled one misses nothing."""
    size = 40_000_000
    with daemon.client() as good, daemon.client() as stalled:
        stalled.subscribe("stalled")
        good.subscribe("good")
        before = daemon.memory()
        good.shell("p", f"yes 0123456789 | head -c {size}; exit 4")
        events = good.until_exit("p")
        assert len(output(events, "p")) == size
        assert daemon.memory() - before < 16 << 20
        assert good.ask("isRunning") == {"running": False}
        late = stalled.until_exit("p")
        assert output(late, "p") == output(events, "p")
        assert late[-1] == events[-1]


def test_a_subscriber_that_does_not_read_holds_the_child_back(daemon: RunningDaemon) -> None:
    """SUB-7, W8: the spool is bounded; the child waits and goes on when somebody reads."""
    size = 200_000_000
    with daemon.client() as control, daemon.client() as stalled:
        stalled.subscribe()
        before = daemon.memory()
        control.shell("p", f"head -c {size} /dev/zero | tr '\\0' x; exit 4")

        def spooled() -> int:
            # Segments go while they are looked at, so they are counted by name: all but the last are full.
            return len(list(daemon.sessions()[0].glob("spool/*.log"))) * SEGMENT

        def held() -> bool:
            logs = [p.read_text() for p in daemon.state.glob("sessions/*/lifecycle.log")]
            return any("output full" in text for text in logs)

        wait_for(held, "the child is held back")
        assert spooled() <= 72 << 20
        assert control.ask("isProcessRunning", {"id": "p"}) == {"running": True}
        assert daemon.memory() - before < 16 << 20
        got = 0
        while (event := stalled.event())["type"] == "stdout":
            got += len(event["data"])
        assert got == size
        assert event["exitCode"] == 4
        wait_for(lambda: spooled() <= 20 << 20, "what was taken is recycled, down to the history")


def test_leaving_in_the_middle_of_a_stream_costs_nothing(daemon: RunningDaemon) -> None:
    """SUB-8: no descriptor and no memory stays."""
    with daemon.client() as control:
        fds, before = daemon.fds(), daemon.memory()
        control.shell("p", "yes | head -c 60000000; exec sleep 1000")
        for _ in range(30):
            with daemon.client() as c:
                c.subscribe()
                c.event()
        control.ask("isRunning")
        wait_for(lambda: daemon.fds() <= fds + 6, "descriptors of subscribers that are gone")
        assert daemon.memory() - before < 24 << 20
        assert control.call("kill", {"id": "p", "signal": "KILL"})["success"] is True


def test_more_subscribers_than_places(daemon: RunningDaemon) -> None:
    """W8: refused with words, and the others go on."""
    clients = []
    try:
        refusals = 0
        for n in range(130):
            c = daemon.client()
            clients.append(c)
            reply = c.call("subscribeEvents", {"userDataName": f"profile {n}"})
            if not reply["success"]:
                assert "too many subscribers" in reply["error"]
                refusals += 1
        assert refusals == 3
        clients[0].spawn("p", "/bin/echo", "hi")
        for c in (clients[0], clients[126]):
            assert output(c.until_exit("p"), "p") == "hi\n"
        assert clients[129].ask("isRunning") == {"running": False}
    finally:
        for c in clients:
            c.close()


def test_the_same_id_again_before_anybody_was_told_of_the_first(daemon: RunningDaemon, client: Client) -> None:
    """SPAWN-10, W9: two runs under one id are told one after the other, never mixed."""
    for text in ("one", "two"):
        client.shell("p", f"seq -f '{text} %g' 1 60000; exit {len(text)}")
        wait_for(lambda: not client.ask("isProcessRunning", {"id": "p"})["running"])
    with daemon.client() as c:
        c.subscribe()
        first = c.until_exit("p")
        assert output(first, "p") == "".join(f"one {n}\n" for n in range(1, 60_001))
        second = c.until_exit("p")
        assert output(second, "p") == "".join(f"two {n}\n" for n in range(1, 60_001))
