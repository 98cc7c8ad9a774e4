"""The network of a session: what is allowed works for the usual programs as they are, everything else does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.private import ADDRESS, INTERNAL, private_daemon
from tests.support.sandbox import Ended, Session

pytestmark = [pytest.mark.bwrap, pytest.mark.integration]

WEB = "web.example.test"
ONLY_WEB = [WEB]


@pytest.fixture(scope="module")
def private() -> Iterator[Session]:
    """Sessions of a daemon in a network of its own."""
    with private_daemon() as daemon, Session(daemon) as made:
        yield made


def works(ended: Ended, text: str) -> None:
    assert ended.code == 0, ended
    assert text in ended.out, ended


# -- what is allowed works, for each program as it is


def test_curl(private: Session) -> None:
    works(private.sh(f"curl -sS http://{WEB}/echo/a", allowedDomains=ONLY_WEB), f"host {WEB} path /echo/a")
    works(private.sh(f"curl -sSk https://{WEB}/echo/b", allowedDomains=ONLY_WEB), f"host {WEB} path /echo/b")
    works(private.sh(f"curl -sSk --noproxy '*' https://{WEB}/echo/c", allowedDomains=ONLY_WEB), "path /echo/c")
    works(private.sh(f"curl -sS -x socks5h://127.0.0.1:3128 http://{WEB}/echo/d", allowedDomains=ONLY_WEB), "/echo/d")


def test_git(private: Session) -> None:
    clone = f"cd /tmp && git clone -q http://{WEB}/repo.git r && cat r/read.me"
    works(private.sh(clone, allowedDomains=ONLY_WEB), "from git")


def test_pip(private: Session) -> None:
    script = (
        "python3 -m venv /tmp/e && /tmp/e/bin/pip install -q --disable-pip-version-check "
        f"--index-url http://{WEB}/simple --trusted-host {WEB} tiny && "
        "/tmp/e/bin/python -c 'import tiny; print(tiny.WORD)'"
    )
    works(private.sh(script, allowedDomains=ONLY_WEB), "from the wheel")


def test_npm(private: Session) -> None:
    script = (
        f"cd /tmp && npm install --silent --no-audit --no-fund --registry http://{WEB}/ tiny-npm && "
        "node -p 'require(\"tiny-npm\")'"
    )
    works(private.sh(script, allowedDomains=ONLY_WEB), "from npm")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_node(private: Session, scheme: str) -> None:
    env = {"NODE_TLS_REJECT_UNAUTHORIZED": "0", "NODE_NO_WARNINGS": "1"}
    fetch = f"fetch('{scheme}://{WEB}/echo/f').then(r => r.text()).then(t => console.log(t))"
    works(private.run("node", "-e", fetch, env=env, allowedDomains=ONLY_WEB), "/echo/f")
    get = f"require('{scheme}').get('{scheme}://{WEB}/echo/g', r => r.pipe(process.stdout))"
    works(private.run("node", "-e", get, env=env, allowedDomains=ONLY_WEB), "/echo/g")


def test_python(private: Session) -> None:
    script = f"import urllib.request as u; print(u.urlopen('http://{WEB}/echo/p').read().decode())"
    works(private.python(script, allowedDomains=ONLY_WEB), "/echo/p")
    raw = f"import socket; print(socket.create_connection(('{WEB}', 22), 20).recv(100).decode())"
    works(private.python(raw, allowedDomains=ONLY_WEB), "SSH-2.0-private")


def test_names_that_are_allowed_by_a_wildcard(private: Session) -> None:
    asked = "curl -sS http://deep.sub.example.test/echo; curl -sS http://other.example.test/echo"
    ended = private.sh(asked, allowedDomains=["*.example.test"])
    works(ended, "host deep.sub.example.test")
    works(ended, "host other.example.test")


def test_without_a_list_everything_public_is_open_and_logged(private: Session) -> None:
    works(private.sh("curl -sS http://evil.test/echo"), "host evil.test")
    assert "allowed" in private.network_log()
    assert "evil.test:80" in private.network_log()
    record = private.record()
    assert record["network"] == "open, by proxy"


# -- what is not allowed


def refused(ended: Ended) -> None:
    assert ended.code != 0, ended
    assert "host " not in ended.out, ended


@pytest.mark.parametrize("allowed", [ONLY_WEB, [], ["*.example.test"], [f"evil.test:{8080}"]])
def test_other_names_are_refused_and_logged(private: Session, allowed: list[str]) -> None:
    for curl in ("curl -sSf", "curl -sSf --noproxy '*'", "curl -sSfx socks5h://127.0.0.1:3128"):
        refused(private.sh(f"{curl} http://evil.test/echo", allowedDomains=allowed))
    refused(private.sh("curl -sSfk https://evil.test/echo", allowedDomains=allowed))
    assert "denied" in private.network_log()


def test_addresses_are_refused(private: Session) -> None:
    refused(private.sh(f"curl -sSf --noproxy '*' -m 5 http://{ADDRESS}/echo"))
    refused(private.sh(f"curl -sSf http://{ADDRESS}/echo", allowedDomains=ONLY_WEB))
    works(private.sh(f"curl -sSf http://{ADDRESS}/echo", allowedDomains=[ADDRESS]), f"host {ADDRESS}")


def test_a_private_address_has_to_be_named(private: Session) -> None:
    for allowed in (None, ["*"], ["*.example.test"]):
        more: dict[str, Any] = {} if allowed is None else {"allowedDomains": allowed}
        refused(private.sh(f"curl -sSf http://{INTERNAL}/echo", **more))
        refused(private.sh("curl -sSf --noproxy '' http://127.0.0.1:80/echo", **more))
    works(private.sh(f"curl -sSf http://{INTERNAL}/echo", allowedDomains=[INTERNAL]), f"host {INTERNAL}")


def test_another_name_inside_tls_is_refused(private: Session) -> None:
    fronted = f"curl -sSfk --connect-to evil.test:443:{WEB}:443 https://evil.test/echo"
    works(private.sh(fronted, allowedDomains=[WEB, "evil.test"]), "host evil.test")
    refused(private.sh(fronted, allowedDomains=ONLY_WEB))


def test_nothing_but_the_model_is_reached_with_an_empty_list(private: Session) -> None:
    env = {"ANTHROPIC_BASE_URL": f"http://{WEB}"}
    works(private.sh(f"curl -sS http://{WEB}/echo", env=env, allowedDomains=[]), f"host {WEB}")
    refused(private.sh("curl -sSf http://other.example.test/echo", env=env, allowedDomains=[]))


def test_a_bad_entry_is_refused_with_the_rule_and_the_fix(private: Session) -> None:
    text = private.client.refusal(
        "spawn", {"id": "bad", "name": "x", "command": "/bin/true", "allowedDomains": ["ok.test", "https://x.test/"]}
    )
    assert "allowedDomains[1]" in text
    assert "x.test" in text
