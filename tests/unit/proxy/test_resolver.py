"""Resolving on threads: once per name, remembered for a while, never waited for too long."""

from __future__ import annotations

import os
import socket
import threading
import time
from functools import partial

import pytest

from cowork.proxy import resolver as module
from cowork.proxy.loop import Loop
from cowork.proxy.resolver import Answer, Lookup, Resolver, ask, system_lookup
from tests.unit.proxy.support import Names


def run(loop: Loop, resolver: Resolver, hosts: list[str]) -> dict[str, Answer]:
    """Ask, and run the loop until all is answered."""
    answers: dict[str, Answer] = {}

    def answered(host: str, answer: Answer) -> None:
        answers[host] = answer
        if len(answers) == len(set(hosts)):
            loop.stop()

    for host in hosts:
        resolver.resolve(host, partial(answered, host))
    loop.run()
    return answers


def failing(code: int) -> Lookup:
    def lookup(host: str) -> list[str]:
        raise socket.gaierror(code, "what the library says")

    return lookup


def broken(host: str) -> list[str]:
    raise UnicodeError("a surprise")


def test_what_goes_wrong_is_an_answer() -> None:
    assert ask(lambda host: ["1.2.3.4"], "a") == Answer(("1.2.3.4",))
    assert ask(failing(socket.EAI_NONAME), "a").missing
    assert ask(failing(socket.EAI_NODATA), "a") == Answer()
    assert ask(failing(socket.EAI_AGAIN), "a") == Answer(error="what the library says")
    assert "UnicodeError" in ask(broken, "a").error


def test_the_system_knows_localhost() -> None:
    assert set(system_lookup("localhost")) <= {"127.0.0.1", "::1"}


def test_a_name_is_asked_for_once_and_remembered(loop: Loop) -> None:
    names = Names(a=["1.2.3.4"], b=["1.2.3.4"])
    resolver = Resolver(loop, names, 5)
    assert run(loop, resolver, ["a", "a", "b"]) == dict.fromkeys("ab", Answer(("1.2.3.4",)))
    later: list[Answer] = []
    resolver.resolve("a", later.append)
    assert later == [Answer(("1.2.3.4",))]
    assert sorted(names.asked) == ["a", "b"]
    resolver.close()


def test_an_old_answer_is_forgotten(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEEP", 0.0)
    names = Names(a=["::1"])
    resolver = Resolver(loop, names, 5)
    run(loop, resolver, ["a"])
    loop._running = True
    run(loop, resolver, ["a"])
    assert names.asked == ["a", "a"]
    resolver.close()


def test_the_memory_is_bounded(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHE", 10)
    resolver = Resolver(loop, lambda host: ["::1"], 5)
    run(loop, resolver, [str(number) for number in range(50)])
    assert list(resolver._cache)[-1:]
    assert len(resolver._cache) == 10
    resolver.close()


def test_a_dead_resolver_is_not_waited_for(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PENDING", 20)
    release = threading.Event()

    def stuck(host: str) -> list[str]:
        release.wait(10)
        return []

    resolver = Resolver(loop, stuck, 0.1)
    started = time.monotonic()
    answers = run(loop, resolver, [str(number) for number in range(30)])
    assert time.monotonic() - started < 5
    assert [answers[str(number)].error for number in range(20)] == ["timed out"] * 20
    assert [answers[str(number)].error for number in range(20, 30)] == ["too many names are being resolved"] * 10
    assert resolver._threads == module.MAX_THREADS
    release.set()
    resolver.close()
    for thread in threading.enumerate():
        if thread.name.startswith("resolver-"):
            thread.join(10)


def test_a_descriptor_is_open_as_long_as_a_thread_may_write_to_it(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two results can be seen with the first one's writing; what the second then wrote to may have been another's."""
    write, slow, written = os.eventfd_write, threading.Event(), threading.Event()
    failed: list[OSError] = []

    def write_late(fd: int, value: int) -> None:
        if threading.current_thread().name == "resolver-1":
            slow.wait(30)
        try:
            write(fd, value)
        except OSError as e:
            failed.append(e)
        written.set()

    monkeypatch.setattr(os, "eventfd_write", write_late)
    gate = threading.Event()

    def lookup(host: str) -> list[str]:
        if host == "b":
            gate.wait(30)  # until the other's result is there, though it is not announced
        else:
            threading.Timer(0.05, gate.set).start()
        return ["1.2.3.4"]

    resolver = Resolver(loop, lookup, 10)
    assert run(loop, resolver, ["a", "b"]).keys() == {"a", "b"}
    resolver.close()
    written.clear()
    slow.set()
    assert written.wait(30)
    assert failed == []
