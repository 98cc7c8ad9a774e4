"""What a session may reach, and how programs inside find the way there.

The sandbox has a network of its own with nothing in it but loopback. Sockets that listen there belong to the session's
proxy outside (cowork.proxy): programs that know of proxies are told of it by variables; for the others names
resolve to made-up addresses, behind which the proxy waits at the usual ports.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from cowork.errors import ConfigError, InvalidParams
from cowork.holder.spec import Listen
from cowork.proxy.names import HostError, join
from cowork.proxy.rules import RuleError, parse_rule
from cowork.proxy.settings import Settings, Upstream

if TYPE_CHECKING:
    from cowork import config

PROXY = "127.0.0.1"
PROXY_PORT = 3128
DIRECT_PORTS = (22, 80, 443)
"""Ports at which programs that do not know of proxies are served; nothing inside may have these itself."""
API = "api.anthropic.com:443"
_BASE_URLS = (
    "ANTHROPIC_BASE_URL", "ANTHROPIC_BEDROCK_BASE_URL", "ANTHROPIC_VERTEX_BASE_URL", "ANTHROPIC_FOUNDRY_BASE_URL",
)  # fmt: skip
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("localhost", "::1")

_log = logging.getLogger(__name__)


class Policy(NamedTuple):
    """``sets``: rule sets that must all allow; ``forwards``: the host's own addresses that are served at the same
    address inside; ``summary``: for people."""

    sets: list[list[str]]
    forwards: list[tuple[str, int]]
    summary: str


def policy(
    allowed: Sequence[str] | None, settings: config.Network, tighter: Sequence[Sequence[str]], env: Mapping[str, str]
) -> Policy:  # fmt: skip
    """The rules for one session (DESIGN section 5). ``allowed``: the client's ``allowedDomains``; ``tighter``: those of
    project files; ``env``: the session's environment, which tells where its model is.

    Raises:
        InvalidParams: an entry of the client's is no rule; with the entry, the rule and the fix.
        ConfigError: one of config.toml is none.
    """
    api, forwards = _api(env)
    if allowed is not None:
        for number, entry in enumerate(allowed):
            field = f"allowedDomains[{number}]"
            if problem := _problem(entry):
                raise InvalidParams(f"Invalid params: {field}: {problem}", field=field)
        chosen = list(allowed)
    elif settings.allow is not None:
        for entry in settings.allow:
            if problem := _problem(entry):
                raise ConfigError(f"config.toml: network.allow: {problem}")
        chosen = list(settings.allow)
    else:
        chosen = ["*"] if settings.default == "open" else []
    sets = [[*chosen, *api], *([*filter(_is_rule, rules), *api] for rules in tighter)]
    open_to_all = "*" in chosen and not tighter
    summary = "open, by proxy" if open_to_all else f"{len(chosen)} rules, by proxy" if chosen else "model API only"
    return Policy(sets, forwards, summary)


def _api(env: Mapping[str, str]) -> tuple[list[str], list[tuple[str, int]]]:
    """Rules for the session's own model API, and those of its addresses that are the host's own."""
    urls = [env[name] for name in _BASE_URLS if env.get(name)]
    rules = [rule for url in urls if (rule := _rule_of(url)) is not None]
    if env.get("CLAUDE_CODE_USE_BEDROCK") and not env.get("ANTHROPIC_BEDROCK_BASE_URL"):
        rules.append(f"bedrock-runtime.{env.get('AWS_REGION') or 'us-east-1'}.amazonaws.com:443")
    if env.get("CLAUDE_CODE_USE_VERTEX") and not env.get("ANTHROPIC_VERTEX_BASE_URL"):
        region = env.get("CLOUD_ML_REGION") or "us-east5"
        prefix = "" if region == "global" else f"{region}-"
        rules += [f"{prefix}aiplatform.googleapis.com:443", "oauth2.googleapis.com:443"]
    rules = [rule for rule in rules if not _problem(rule)] or [API]
    parsed = [parse_rule(rule) for rule in rules]
    loopback = [(r.host, r.port or 443) for r in parsed if r.host in _LOOPBACK or r.host.startswith("127.")]
    return rules, loopback


def _problem(entry: str) -> str:
    """What is wrong with a rule, with what mends it; nothing for a good one."""
    try:
        parse_rule(entry)
    except RuleError as e:
        return str(e)
    return ""


def _is_rule(entry: str) -> bool:
    """A project's rule that is none allows nothing, which is tighter still; it is told."""
    if problem := _problem(entry):
        _log.warning("project file: network.allow: %s", problem)
    return not problem


def _rule_of(url: str) -> str | None:
    """host:port of a URL; None for one that makes no rule, which the session will find out by itself."""
    try:
        parts = urlsplit(url)
        rule = join(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443))
        return None if parse_rule(rule).wild else rule
    except (ValueError, HostError):
        return None


def listeners(found: Policy) -> list[Listen]:
    """The sockets inside."""
    forwards = {("127.0.0.1" if host == "localhost" else host, port): (host, port) for host, port in found.forwards}
    taken = {port for _, port in forwards}
    return [
        Listen("proxy", "tcp", PROXY, proxy_port(found)),
        Listen("dns", "udp", "127.0.0.1", 53),
        *(Listen("direct", "tcp", "0.0.0.0", port) for port in DIRECT_PORTS if port not in taken),
        *(Listen("forward", "tcp", *place, target) for place, target in forwards.items()),
    ]


def proxy_port(found: Policy) -> int:
    """Where the proxy listens: not where the session's model is."""
    taken = {port for _, port in found.forwards}
    return next(port for port in range(PROXY_PORT, PROXY_PORT + len(taken) + 1) if port not in taken)


def proxy_settings(found: Policy, settings: config.Network, environ: Mapping[str, str]) -> dict[str, object]:
    """For the proxy. ``environ``: the daemon's, which may know of a proxy of the company's."""
    upstream = settings.proxy
    if upstream is None:
        upstream = environ.get("HTTPS_PROXY") or environ.get("https_proxy") or ""
    direct = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(",")
    names = [name.strip() for name in direct if name.strip()]
    try:
        Upstream(upstream, names)
    except ValueError as e:
        # Without it: where there is no other way out, the session finds none, and says so.
        _log.warning("the proxy to go through cannot be used: %s", e)
        upstream, names = "", []
    return Settings(rules=found.sets, upstream=upstream, no_upstream=names).as_json()


def variables(found: Policy) -> dict[str, str]:
    """What programs that know of proxies look at. No SOCKS among them: half of the Python libraries lack it."""
    url = f"http://{PROXY}:{proxy_port(found)}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    none = "localhost,127.0.0.1,::1"
    return {**dict.fromkeys(names, url), "NO_PROXY": none, "no_proxy": none, "NODE_USE_ENV_PROXY": "1"}
