"""Background tasks: named, kept, and never silent when they fail."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from cowork.linux import tasks

pytestmark = pytest.mark.asyncio


async def test_a_task_is_named_kept_and_let_go() -> None:
    event = asyncio.Event()

    async def work() -> int:
        await event.wait()
        return 5

    task = tasks.start(work(), "a name")
    assert task.get_name() == "a name"
    assert task in tasks._running
    gc.collect()
    event.set()
    assert await task == 5
    assert task not in tasks._running


async def test_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("what went wrong")

    task = tasks.start(fail(), "doomed")
    with caplog.at_level(logging.ERROR):
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert "doomed failed" in caplog.text
    assert "what went wrong" in caplog.text


async def test_a_cancelled_task_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    task = tasks.start(asyncio.sleep(3600), "sleeper")
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert caplog.text == ""
    assert task not in tasks._running
