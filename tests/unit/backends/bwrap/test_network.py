"""What a session may reach, and the ways that lead there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork import config
from cowork.backends.bwrap import network
from cowork.backends.bwrap.network import API, PROXY, Policy, listeners, policy, proxy_settings, variables
from cowork.errors import ConfigError, InvalidParams
from cowork.holder.spec import Listen
from cowork.proxy.rules import Policy as Rules
from cowork.proxy.rules import RuleError, parse_rule
from cowork.proxy.settings import Settings, Upstream

OPEN, ONLY_API = config.Network(), config.Network(default="api")


def found(
    allowed: Sequence[str] | None = None, settings: config.Network = OPEN, *tighter: Sequence[str], **env: str
) -> Policy:
    return policy(allowed, settings, tighter, env)


def lets(what: Policy, host: str, port: int = 443) -> bool:
    """Whether the proxy lets it through."""
    return Rules(what.sets).check(host, port).allowed


# -- the rules


def test_without_a_word_from_anybody_everything_is_open() -> None:
    what = found()
    assert what.summary == "open, by proxy"
    assert lets(what, "example.com", 12345)
    assert lets(what, "api.anthropic.com")


@pytest.mark.parametrize(
    ("allowed", "settings", "example", "summary"),
    [
        (None, ONLY_API, False, "model API only"), ([], OPEN, False, "model API only"),
        ([], ONLY_API, False, "model API only"), (["example.com"], OPEN, True, "1 rules, by proxy"),
        (["example.com"], ONLY_API, True, "1 rules, by proxy"),
        (["pypi.org", "*.b.com"], OPEN, False, "2 rules, by proxy"),
        (["*"], ONLY_API, True, "open, by proxy"), (None, config.Network(allow=()), False, "model API only"),
        (None, config.Network(allow=("example.com",)), True, "1 rules, by proxy"),
        (None, config.Network(allow=("*",), default="api"), True, "open, by proxy"),
        (None, config.Network(allow=("pypi.org",), default="open"), False, "1 rules, by proxy"),
        (["pypi.org"], config.Network(allow=("example.com",)), False, "1 rules, by proxy"),
    ],
)  # fmt: skip
def test_who_decides(allowed: list[str] | None, settings: config.Network, example: bool, summary: str) -> None:
    """The client, if it says anything; the configuration's list; its default. An empty list is none at all."""
    what = found(allowed, settings)
    assert lets(what, "example.com") is example
    assert what.summary == summary
    assert lets(what, "api.anthropic.com"), "the model is reached in any case"
    assert not lets(found([], settings), "api.anthropic.com", 80)


def test_a_project_only_takes_away() -> None:
    what = found(["pypi.org", "example.com"], OPEN, ["example.com", "evil.com"])
    assert [lets(what, host) for host in ("example.com", "pypi.org", "evil.com")] == [True, False, False]
    assert lets(what, "api.anthropic.com")


def test_several_projects_must_all_agree() -> None:
    what = found(None, OPEN, ["a.com", "b.com"], ["b.com", "c.com"])
    assert [lets(what, f"{name}.com") for name in "abc"] == [False, True, False]
    assert found(None, OPEN, [], ["a.com"]).sets[1:] == [[API], ["a.com", API]]
    assert not lets(found(None, OPEN, []), "a.com")


def test_it_is_not_called_open_when_a_project_closes_it() -> None:
    assert found(None, OPEN, ["a.com"]).summary != "open, by proxy"


@pytest.mark.parametrize("bad", ["", "https://pypi.org", "a b", "x:0", "*.1.2.3.4", "a/b", "u@x", "*x.com", "\0"])
def test_an_entry_that_is_no_rule(bad: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        found(["good.com", bad])
    assert caught.value.field == "allowedDomains[1]"
    assert caught.value.message.startswith("Invalid params: allowedDomains[1]: ")
    assert "\0" not in caught.value.message


@given(st.lists(st.text(max_size=12) | st.sampled_from(["pypi.org", "*.x.com", "1.2.3.4:80"]), max_size=4))
def test_what_is_accepted_can_be_proxied(entries: list[str]) -> None:
    """Whatever a client sends: refused with the entry's number, or settings with which a proxy starts."""
    try:
        what = found(entries)
    except InvalidParams as e:
        field = e.field or ""
        bad = entries[int(field.removeprefix("allowedDomains[").removesuffix("]"))]
        with pytest.raises(RuleError):
            parse_rule(bad)
        return
    Rules(what.sets)


def test_a_rule_of_the_users_that_is_none_is_said_to_be_none() -> None:
    """The session's proxy would die of it again and again, and nothing would be reached at all."""
    with pytest.raises(ConfigError, match=r"https://pypi\.org"):
        found(None, config.Network(allow=("https://pypi.org",)))


def test_a_projects_rule_that_is_none_allows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    what = found(None, OPEN, ["https://pypi.org", "pypi.org"])
    assert "https://pypi.org" in caplog.text
    assert "pypi.org" in what.sets[1]
    assert not any("://" in rule for rule in what.sets[1])


# -- the model's API


@pytest.mark.parametrize(
    ("env", "rules"),
    [
        ({}, [API]), ({"ANTHROPIC_BASE_URL": ""}, [API]),
        ({"ANTHROPIC_BASE_URL": "https://gateway.corp"}, ["gateway.corp:443"]),
        ({"ANTHROPIC_BASE_URL": "https://gateway.corp/v1/"}, ["gateway.corp:443"]),
        ({"ANTHROPIC_BASE_URL": "http://gateway.corp"}, ["gateway.corp:80"]),
        ({"ANTHROPIC_BASE_URL": "http://gateway.corp:8080/x"}, ["gateway.corp:8080"]),
        ({"ANTHROPIC_BASE_URL": "https://u:p@gateway.corp"}, ["gateway.corp:443"]),
        ({"ANTHROPIC_BASE_URL": "https://[fd00::1]:8443"}, ["[fd00::1]:8443"]),
        ({"ANTHROPIC_BASE_URL": "nonsense"}, [API]), ({"ANTHROPIC_BASE_URL": "http://x:99999"}, [API]),
        ({"ANTHROPIC_BASE_URL": "http://"}, [API]),
        ({"CLAUDE_CODE_USE_BEDROCK": "1"}, ["bedrock-runtime.us-east-1.amazonaws.com:443"]),
        ({"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "eu-west-3"}, ["bedrock-runtime.eu-west-3.amazonaws.com:443"]),
        ({"CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_BEDROCK_BASE_URL": "https://b.corp"}, ["b.corp:443"]),
        ({"CLAUDE_CODE_USE_VERTEX": "1"}, ["us-east5-aiplatform.googleapis.com:443", "oauth2.googleapis.com:443"]),
        ({"CLAUDE_CODE_USE_VERTEX": "1", "CLOUD_ML_REGION": "global"},
         ["aiplatform.googleapis.com:443", "oauth2.googleapis.com:443"]),
        ({"CLAUDE_CODE_USE_VERTEX": "1", "CLOUD_ML_REGION": "europe-west1"},
         ["europe-west1-aiplatform.googleapis.com:443", "oauth2.googleapis.com:443"]),
        ({"CLAUDE_CODE_USE_VERTEX": "1", "ANTHROPIC_VERTEX_BASE_URL": "https://v.corp"}, ["v.corp:443"]),
        ({"ANTHROPIC_FOUNDRY_BASE_URL": "https://f.azure.com"}, ["f.azure.com:443"]),
        ({"AWS_REGION": "eu-west-3", "CLOUD_ML_REGION": "x"}, [API]),
    ],
)  # fmt: skip
def test_where_the_model_is(env: dict[str, str], rules: list[str]) -> None:
    """Reached with an empty list, too, and nothing else is."""
    what = found([], OPEN, **env)
    assert what.sets == [rules]
    assert what.summary == "model API only"


def test_a_gateway_takes_the_place_of_the_usual_address() -> None:
    what = found([], OPEN, ANTHROPIC_BASE_URL="https://gateway.corp")
    assert lets(what, "gateway.corp")
    assert not lets(what, "api.anthropic.com")


@pytest.mark.parametrize("url", ["https://*", "https://*.com"])
def test_a_base_url_is_one_host_and_no_pattern(url: str) -> None:
    assert not lets(found([], OPEN, ANTHROPIC_BASE_URL=url), "evil.com")


@pytest.mark.parametrize(
    "env", [{"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "eu west"},
            {"CLAUDE_CODE_USE_VERTEX": "1", "CLOUD_ML_REGION": "a/b"}],
)  # fmt: skip
def test_a_region_that_is_none(env: dict[str, str]) -> None:
    """Left out, or refused in words; never an internal error."""
    try:
        found([], OPEN, **env)
    except InvalidParams:
        pass


# -- the host's own addresses


@pytest.mark.parametrize(
    ("url", "place", "target"),
    [
        ("http://localhost:8080", ("127.0.0.1", 8080), ("localhost", 8080)),
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080), ("127.0.0.1", 8080)),
        ("http://127.0.0.5:443", ("127.0.0.5", 443), ("127.0.0.5", 443)),
        ("http://localhost", ("127.0.0.1", 80), ("localhost", 80)),
        ("https://localhost", ("127.0.0.1", 443), ("localhost", 443)),
    ],
)  # fmt: skip
def test_a_model_on_this_computer_is_at_the_same_address_inside(
    url: str, place: tuple[str, int], target: tuple[str, int]
) -> None:
    what = found([], OPEN, ANTHROPIC_BASE_URL=url)
    assert what.forwards == [target]
    assert Listen("forward", "tcp", *place, target) in listeners(what)
    assert lets(what, *target)


@pytest.mark.parametrize("url", ["https://api.corp", "http://10.0.0.1:80", "http://localhost.evil.com"])
def test_what_is_not_on_this_computer_is_not_forwarded(url: str) -> None:
    assert found([], OPEN, ANTHROPIC_BASE_URL=url).forwards == []


def test_a_model_on_this_computer_by_its_other_address() -> None:
    assert found([], OPEN, ANTHROPIC_BASE_URL="http://[::1]:8080").forwards == [("::1", 8080)]


def test_a_model_at_the_place_of_the_proxy() -> None:
    what = found([], OPEN, ANTHROPIC_BASE_URL="http://127.0.0.1:3128")
    assert any(entry.role == "forward" for entry in listeners(what))


def collisions(entries: list[Listen]) -> list[tuple[Listen, Listen]]:
    """Pairs of which the second could not be bound."""
    return [
        (one, two)
        for number, one in enumerate(entries)
        for two in entries[:number]
        if (one.protocol, one.port) == (two.protocol, two.port)
        and (one.host == two.host or "0.0.0.0" in (one.host, two.host))
    ]  # fmt: skip


def test_the_usual_sockets() -> None:
    entries = listeners(found())
    assert [(e.role, e.protocol, e.host, e.port) for e in entries] == [
        ("proxy", "tcp", "127.0.0.1", 3128), ("dns", "udp", "127.0.0.1", 53), ("direct", "tcp", "0.0.0.0", 22),
        ("direct", "tcp", "0.0.0.0", 80), ("direct", "tcp", "0.0.0.0", 443),
    ]  # fmt: skip
    assert all(entry.target is None for entry in entries)


HOSTS = st.sampled_from(["localhost", "127.0.0.1", "127.0.0.2", "127.0.0.53"])
PORTS = st.sampled_from([22, 53, 80, 443, 3128, 8080]) | st.integers(1, 65535)


@given(st.lists(st.tuples(HOSTS, PORTS), max_size=5))
def test_no_two_sockets_want_the_same_place(forwards: list[tuple[str, int]]) -> None:
    entries = listeners(Policy([], forwards, ""))
    assert collisions(entries) == []
    assert [e.role for e in entries].count("proxy") == [e.role for e in entries].count("dns") == 1
    for entry in entries:
        assert (entry.target is not None) is (entry.role == "forward")


# -- the way out


def upstream(environ: dict[str, str], settings: config.Network = OPEN) -> Settings:
    return Settings.from_json(proxy_settings(found(), settings, environ))


def test_the_rules_are_the_proxys() -> None:
    what = found(["pypi.org"], OPEN, ["a.com"])
    assert Settings.from_json(proxy_settings(what, OPEN, {})).rules == what.sets


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, ""), ({"HTTPS_PROXY": "http://proxy.corp:3128"}, "http://proxy.corp:3128"),
        ({"https_proxy": "http://proxy.corp:3128"}, "http://proxy.corp:3128"),
        ({"HTTPS_PROXY": "", "https_proxy": "http://b:1"}, "http://b:1"),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "http://a:1"),
        ({"HTTP_PROXY": "http://proxy.corp:3128"}, ""), ({"HTTPS_PROXY": "socks5://proxy.corp:1080"}, ""),
    ],
)  # fmt: skip
def test_the_companys_proxy(environ: dict[str, str], url: str) -> None:
    assert upstream(environ).upstream == url


@pytest.mark.parametrize("url", ["", "http://own:8080"])
def test_the_configuration_comes_before_the_environment(url: str) -> None:
    """Where it is empty there is none."""
    assert upstream({"HTTPS_PROXY": "http://proxy.corp:3128"}, config.Network(proxy=url)).upstream == url


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_what_is_reached_without_it(name: str) -> None:
    names = "localhost, .corp,,*.intern , 10.0.0.1,[fd00::1],*"
    made = upstream({"HTTPS_PROXY": "http://proxy.corp:3128", name: names})
    assert made.no_upstream == ["localhost", ".corp", "*.intern", "10.0.0.1", "[fd00::1]", "*"]
    Upstream(made.upstream, made.no_upstream)


@pytest.mark.parametrize(
    "environ",
    [
        {"NO_PROXY": "localhost,10.0.0.0/8"}, {"NO_PROXY": "localhost:8080"}, {"NO_PROXY": "192.168.*"},
        {"HTTPS_PROXY": "http://user:password@proxy.corp:3128"}, {"HTTPS_PROXY": "http://proxy.corp"},
    ],
)  # fmt: skip
def test_any_environment_is_one_with_which_a_proxy_starts(environ: dict[str, str]) -> None:
    """These are everyday values: what the proxy cannot use is left out, and said."""
    made = upstream(environ)
    Upstream(made.upstream, made.no_upstream)


def test_no_password_of_a_proxy_is_told_to_the_session() -> None:
    assert not any("proxy.corp" in value for value in variables(found()).values())


def test_programs_are_told_of_the_sessions_proxy() -> None:
    told = variables(found())
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        assert told[name] == told[name.lower()] == f"http://{PROXY}:{network.PROXY_PORT}"
    assert told["NO_PROXY"] == told["no_proxy"]
    assert {"localhost", "127.0.0.1", "::1"} <= set(told["NO_PROXY"].split(","))
    assert told["NODE_USE_ENV_PROXY"] == "1"
    first = listeners(found())[0]
    assert (first.role, first.host, first.port) == ("proxy", PROXY, network.PROXY_PORT)
    assert network.DIRECT_PORTS == (22, 80, 443)
