"""Options of ``cowork serve``, without starting anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowork import __version__
from cowork.backends.base import Availability
from cowork.cli import serve
from cowork.errors import ConfigError, CoworkError, PolicyError


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("COWORK_VM_BACKEND", raising=False)
    sandbox(monkeypatch, works=False)
    return tmp_path


def sandbox(monkeypatch: pytest.MonkeyPatch, *, works: bool) -> None:
    """Whether bubblewrap works here."""
    found = Availability(works, "" if works else "no namespaces", "" if works else "sysctl it")
    monkeypatch.setattr("cowork.backends.bwrap.probe.probe", lambda environ: found)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["-version"]) == 0
    assert serve.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"cowork {__version__}\nUsage: cowork serve")
    for name in serve.VALUES[:3]:
        assert f"--{name}" in shown


def test_check_tells_backend_isolation_and_socket(runtime: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["--check"]) == 0
    shown = capsys.readouterr().out
    assert "host (isolation: none)" in shown
    assert str(runtime / "cowork-vm-service.sock") in shown
    assert not list(runtime.iterdir()), "--check makes nothing"


@pytest.mark.parametrize("name", ["native", "host", "HOST", "auto"])
def test_names_of_the_backend(runtime: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["--check", f"-backend={name}"]) == 0
    assert "host (isolation: none)" in capsys.readouterr().out


def test_the_backend_of_the_environment_gives_way_to_the_flag(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COWORK_VM_BACKEND", "nonsense")
    with pytest.raises(ConfigError, match="nonsense"):
        serve.main(["--check"])
    assert serve.main(["--check", "--backend", "host"]) == 0
    monkeypatch.setenv("COWORK_VM_BACKEND", "")
    assert serve.main(["--check"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("name", ["bwrap", "bubblewrap", "BWRAP", "auto"])
def test_the_sandbox_where_it_works(
    runtime: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox(monkeypatch, works=True)
    assert serve.main(["--check", f"--backend={name}"]) == 0
    assert "bwrap (isolation: bubblewrap)" in capsys.readouterr().out


def test_required_isolation_is_not_given_up(runtime: Path) -> None:
    (runtime / "cowork").mkdir()
    (runtime / "cowork" / "config.toml").write_text('isolation = "required"\n')
    (runtime / "cowork" / "config.toml").chmod(0o600)
    for name in ("auto", "host"):
        with pytest.raises(PolicyError, match="required") as caught:
            serve.main(["--check", "--backend", name])
        assert caught.value.exit_status == 6


@pytest.mark.parametrize("name", ["bwrap", "kvm"])
def test_a_backend_that_is_not_here_is_refused_and_nothing_weaker_taken(runtime: Path, name: str) -> None:
    with pytest.raises(PolicyError) as caught:
        serve.main(["--check", "--backend", name])
    assert name in caught.value.message
    assert caught.value.exit_status == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dialect", "klingon"], "klingon"),
        (["--socket", "relative.sock"], "must be absolute"),
        (["--socket", "/tmp/" + "x" * 120], "125 bytes are too long"),
        (["--socket", "/nonexistent-folder/a.sock"], "no such directory"),
        (["--ready-fd", "three"], "is a number"),
    ],
)
def test_bad_values_are_named(runtime: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(CoworkError, match=says):
        serve.main([*arguments, *([] if "--ready-fd" in arguments else ["--check"])])
