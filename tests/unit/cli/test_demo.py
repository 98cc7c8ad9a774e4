"""How the demonstration shows frames; the whole of it is tested as a command."""

from __future__ import annotations

import pytest

from cowork.cli.demo import Demo


@pytest.mark.parametrize(
    ("direction", "payload", "line"),
    [
        (">", b'{"method":"x"}', '> {"method":"x"}'),
        ("<", b'{"id":1}', '< {"id":1}'),
        ("<", b'{"type":"exit","id":"p","exitCode":0}', '* {"type":"exit","id":"p","exitCode":0}'),
        ("<", b'{"a":"\xff"}', '< {"a":"�"}'),
    ],
)
def test_requests_replies_and_events_can_be_told_apart(
    direction: str, payload: bytes, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Demo("/nowhere", color=False)._show(direction, payload)
    assert capsys.readouterr().out == line + "\n"


def test_a_long_frame_is_cut_and_its_size_told(capsys: pytest.CaptureFixture[str]) -> None:
    Demo("/nowhere", color=False)._show("<", b'{"a":"' + b"x" * 1000 + b'"}')
    shown = capsys.readouterr().out
    assert len(shown) < 200
    assert "(1008 bytes)" in shown


def test_colours_are_there_when_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # click takes colours out of what does not go to a terminal.
    monkeypatch.setattr("cowork.cli.demo.click.echo", lambda text: print(text, end=""))
    Demo("/nowhere", color=True)._show(">", b"{}")
    assert "\x1b[36m" in capsys.readouterr().out
