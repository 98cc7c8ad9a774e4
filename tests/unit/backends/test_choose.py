"""Which backend serves; never a weaker one silently."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cowork.backends import choose as module
from cowork.backends.base import Availability, Backend, Prepared, SpawnRequest
from cowork.backends.bwrap.backend import BwrapBackend
from cowork.backends.choose import choose
from cowork.backends.host import HostBackend
from cowork.errors import ConfigError, PolicyError

WORKS = Availability(works=True)
BROKEN = Availability(False, "no namespaces", "sysctl it")


class Made(Backend):
    """A backend that says of itself what the test wants."""

    isolation = "x"

    def __init__(self, name: str, found: Availability) -> None:
        self.name = name
        self._found = found

    def probe(self) -> Availability:
        return self._found

    def prepare(self, request: SpawnRequest) -> Prepared:
        raise NotImplementedError


class Kinds:
    """What there is, strongest first, and which of them were looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.probed: list[str] = []
        self._patch = monkeypatch

    def are(self, **found: Availability) -> None:
        def make(kind: str, environ: Mapping[str, str]) -> Backend:
            self.probed.append(kind)
            return Made(kind, found[kind])

        self._patch.setattr(module, "STRONGEST_FIRST", tuple(found))
        self._patch.setattr(module, "NAMES", ("auto", *found))
        self._patch.setattr(module, "make", make)


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> Kinds:
    return Kinds(monkeypatch)


class Environ(dict[str, str]):
    """An environment with a configuration of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(HOME=str(folder), XDG_CONFIG_HOME=str(folder), PATH="/usr/bin:/bin")
        self.file = folder / "cowork" / "config.toml"

    def config(self, text: str) -> None:
        self.file.parent.mkdir(mode=0o700)
        self.file.write_text(text)
        self.file.chmod(0o600)


@pytest.fixture
def environ(tmp_path: Path) -> Environ:
    return Environ(tmp_path)


@pytest.mark.parametrize("name", ["host", "native"])
def test_the_host_is_always_there(environ: Environ, name: str) -> None:
    backend, reasons = choose(name, environ)
    assert isinstance(backend, HostBackend)
    assert (backend.isolation, reasons) == ("none", [])


def test_bubblewrap_comes_before_the_host() -> None:
    assert module.STRONGEST_FIRST == ("bwrap", "host")
    assert module.NAMES == ("auto", "bwrap", "host")


@pytest.mark.parametrize("name", ["bwrap", "bubblewrap", "auto"])
def test_bubblewrap_where_it_works(environ: Environ, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked: list[Mapping[str, str]] = []

    def look(given: Mapping[str, str]) -> Availability:
        asked.append(given)
        return WORKS

    monkeypatch.setattr("cowork.backends.bwrap.probe.probe", look)
    backend, reasons = choose(name, environ)
    assert isinstance(backend, BwrapBackend)
    assert (backend.isolation, reasons) == ("bubblewrap", [])
    assert asked == [environ]


def test_the_host_where_bubblewrap_does_not(environ: Environ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cowork.backends.bwrap.probe.probe", lambda found: BROKEN)
    backend, reasons = choose("auto", environ)
    assert isinstance(backend, HostBackend)
    assert reasons == ["bwrap: no namespaces (to mend it: sysctl it)"]


@pytest.mark.parametrize("name", ["bwrap", "bubblewrap"])
def test_a_named_bubblewrap_that_does_not_work(environ: Environ, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("cowork.backends.bwrap.probe.probe", lambda found: BROKEN)
    with pytest.raises(PolicyError, match="bwrap backend does not work here: no namespaces") as raised:
        choose(name, environ)
    assert raised.value.hint == "sysctl it"


def test_what_is_not_here_is_refused_and_not_replaced(environ: Environ) -> None:
    with pytest.raises(PolicyError, match="kvm") as raised:
        choose("kvm", environ)
    assert "--backend bwrap" in (raised.value.hint or "")


@pytest.mark.parametrize("name", ["", "HOST", "docker", "host "])
def test_an_unknown_name(environ: Environ, name: str) -> None:
    with pytest.raises(ConfigError, match="unknown backend") as raised:
        choose(name, environ)
    assert raised.value.hint == "one of auto, bwrap, host"


def test_auto_takes_the_strongest_that_works_and_says_why_not_the_others(environ: Environ, kinds: Kinds) -> None:
    kinds.are(vault=BROKEN, cellar=Availability(False, "damp"), fence=WORKS, open=WORKS)
    backend, reasons = choose("auto", environ)
    assert backend.name == "fence"
    assert reasons == ["vault: no namespaces (to mend it: sysctl it)", "cellar: damp"]
    assert kinds.probed == ["vault", "cellar", "fence"], "nobody asks those who are not needed"


def test_a_named_one_that_does_not_work_is_refused_with_reason_and_fix(environ: Environ, kinds: Kinds) -> None:
    kinds.are(vault=BROKEN, cellar=Availability(False, "damp"), open=WORKS)
    with pytest.raises(PolicyError, match="the vault backend does not work here: no namespaces") as raised:
        choose("vault", environ)
    assert raised.value.hint == "sysctl it"
    with pytest.raises(PolicyError, match="damp") as raised:
        choose("cellar", environ)
    assert raised.value.hint is None
    assert choose("open", environ)[0].name == "open"
    assert set(kinds.probed) == {"vault", "cellar", "open"}


def test_none_works(environ: Environ, kinds: Kinds) -> None:
    kinds.are(vault=BROKEN)
    with pytest.raises(PolicyError, match="no backend may be used: vault: no namespaces") as raised:
        choose("auto", environ)
    assert raised.value.hint is None


class TestRequired:
    """The configuration says isolation = "required"."""

    @pytest.fixture(autouse=True)
    def required(self, environ: Environ) -> None:
        environ.config('isolation = "required"\n')

    @pytest.mark.parametrize("name", ["host", "native"])
    def test_the_host_is_refused_though_it_was_named(self, environ: Environ, name: str) -> None:
        with pytest.raises(PolicyError, match=r'host: config\.toml says isolation = "required"') as raised:
            choose(name, environ)
        assert str(environ.file) in (raised.value.hint or "")

    def test_the_host_is_no_way_out(self, environ: Environ, kinds: Kinds) -> None:
        kinds.are(bwrap=BROKEN, host=WORKS)
        with pytest.raises(PolicyError) as raised:
            choose("auto", environ)
        assert "bwrap: no namespaces (to mend it: sysctl it)" in raised.value.message
        assert 'host: config.toml says isolation = "required"' in raised.value.message
        assert kinds.probed == ["bwrap"]

    def test_a_backend_that_isolates_serves(self, environ: Environ, kinds: Kinds) -> None:
        kinds.are(bwrap=WORKS, host=WORKS)
        for name in ("auto", "bwrap", "bubblewrap"):
            assert choose(name, environ)[0].name == "bwrap"


def test_any_isolation_is_no_requirement(environ: Environ) -> None:
    environ.config('isolation = "any"\n')
    assert choose("host", environ)[0].name == "host"


def test_a_configuration_that_makes_no_sense_is_no_permission(environ: Environ, kinds: Kinds) -> None:
    kinds.are(bwrap=WORKS, host=WORKS)
    environ.config('isolation = "requierd"\n')
    for name in ("auto", "host"):
        with pytest.raises(ConfigError, match="isolation"):
            choose(name, environ)
    assert kinds.probed == []


def test_without_an_environment_it_is_the_processs_own(
    environ: Environ, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds.are(host=WORKS)
    monkeypatch.setenv("XDG_CONFIG_HOME", environ["XDG_CONFIG_HOME"])
    assert choose("auto")[0].name == "host"
    environ.config('isolation = "required"\n')
    with pytest.raises(PolicyError):
        choose("auto")
