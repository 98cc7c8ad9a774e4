"""A terminal that a test drives: a tmux server of its own, one window for each command."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support import needs
from tests.support.client import TIMEOUT
from tests.support.daemon import wait_for


class Tmux:
    """A context manager; the server ends with it. Sizes are rows and columns."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *, rows: int = 24, columns: int = 80) -> None:
        needs.programs(tmux="tmux")
        self._socket = folder / "tmux"
        self._environ = {**environ, "TERM": "screen-256color", "LANG": "C.UTF-8"}
        self._size = rows, columns
        self._windows = 0

    def __enter__(self) -> Self:
        rows, columns = self._size
        self.tmux("new-session", "-d", "-s", "t", "-x", str(columns), "-y", str(rows), "exec sleep 3600")
        self.tmux("set-option", "-g", "status", "off")
        self.tmux("set-option", "-g", "remain-on-exit", "on")
        return self

    def __exit__(self, *exc: object) -> None:
        self.tmux("kill-server")

    def tmux(self, *arguments: str) -> str:
        """Run a tmux command; what it prints."""
        command = ["tmux", "-f", os.devnull, "-S", str(self._socket), *arguments]
        return subprocess.run(
            command, env=self._environ, capture_output=True, text=True, timeout=TIMEOUT, check=True
        ).stdout

    def open(self, *command: str) -> Window:
        """A new window in which a command runs; when it has ended its status is shown."""
        self._windows += 1
        name = f"w{self._windows}"
        line = f"{shlex.join(command)}; echo status $?; exec sleep 3600"
        self.tmux("new-window", "-d", "-t", "t", "-n", name, line)
        return Window(self, f"t:{name}")


class Window:
    """One command's terminal."""

    def __init__(self, tmux: Tmux, target: str) -> None:
        self._tmux = tmux
        self._target = target

    @property
    def shell_pid(self) -> int:
        """The pid of the shell in front of the command."""
        return int(self._tmux.tmux("display-message", "-p", "-t", self._target, "#{pane_pid}"))

    def screen(self) -> list[str]:
        """What is on the screen, line by line, without blanks at the ends."""
        return [line.rstrip() for line in self._tmux.tmux("capture-pane", "-p", "-t", self._target).splitlines()]

    def cursor(self) -> str:
        """Column, row, whether it is shown, and whether the alternate screen is."""
        form = "#{cursor_x},#{cursor_y} #{cursor_flag} #{alternate_on}"
        return self._tmux.tmux("display-message", "-p", "-t", self._target, form).strip()

    def until(self, *texts: str) -> list[str]:
        """Wait until all the texts are on the screen; what it shows then."""
        try:
            wait_for(lambda: all(any(text in line for line in self.screen()) for text in texts))
        except AssertionError:
            raise AssertionError(f"no {texts} on {self.screen()}") from None
        return self.screen()

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names (``C-\\``, ``Enter``) or as they are."""
        self._tmux.tmux("send-keys", "-t", self._target, *keys)

    def resize(self, rows: int, columns: int) -> None:
        """Give it another size."""
        self._tmux.tmux("resize-window", "-t", self._target, "-x", str(columns), "-y", str(rows))
