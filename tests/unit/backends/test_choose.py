"""Which backend serves; never a weaker one silently."""

from __future__ import annotations

import pytest

from cowork.backends import choose as module
from cowork.backends.base import Availability, Backend, Prepared, SpawnRequest
from cowork.backends.choose import choose
from cowork.backends.host import HostBackend
from cowork.errors import ConfigError, PolicyError


def kind(name_: str, found: Availability) -> type[Backend]:
    class Made(Backend):
        name = name_
        isolation = "x"

        def probe(self) -> Availability:
            return found

        def prepare(self, request: SpawnRequest) -> Prepared:
            raise NotImplementedError

    return Made


WORKS = Availability(works=True)
BROKEN = Availability(False, "no namespaces", "sysctl it")


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    made = (kind("vault", BROKEN), kind("fence", WORKS), kind("open", WORKS))
    monkeypatch.setattr(module, "_STRONGEST_FIRST", made)
    monkeypatch.setattr(module, "NAMES", ("auto", "vault", "fence", "open"))


@pytest.mark.parametrize("name", ["host", "native", "auto"])
def test_the_host_is_always_there(name: str) -> None:
    backend, _ = choose(name)
    assert isinstance(backend, HostBackend)
    assert backend.isolation == "none"


@pytest.mark.parametrize("name", ["bwrap", "kvm"])
def test_what_is_not_here_is_refused_and_not_replaced(name: str) -> None:
    with pytest.raises(PolicyError, match=name):
        choose(name)


@pytest.mark.parametrize("name", ["", "HOST", "docker", "host "])
def test_an_unknown_name(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown backend"):
        choose(name)


@pytest.mark.usefixtures("kinds")
def test_auto_takes_the_strongest_that_works_and_says_why_not_the_others() -> None:
    backend, reasons = choose("auto")
    assert backend.name == "fence"
    assert reasons == ["vault: no namespaces"]


@pytest.mark.usefixtures("kinds")
def test_a_named_one_that_does_not_work_is_refused_with_reason_and_fix() -> None:
    with pytest.raises(PolicyError, match="no namespaces") as raised:
        choose("vault")
    assert raised.value.hint == "sysctl it"
    assert choose("open")[0].name == "open"


def test_none_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STRONGEST_FIRST", (kind("vault", BROKEN),))
    with pytest.raises(PolicyError, match="no namespaces"):
        choose("auto")
