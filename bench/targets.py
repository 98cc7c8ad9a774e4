"""The goals: what a figure must reach, and the next step. Only figures of this repository's daemon are held
against them, medians of the rounds."""

from __future__ import annotations

from dataclasses import dataclass

from bench.result import Figure


@dataclass(frozen=True)
class Target:
    """A goal for one figure of one section; `more` is true where larger is better."""

    section: str
    figure: str
    must: float | None = None
    next: float | None = None
    more: bool = False


TARGETS = (
    Target("cold-start", "cold_start_ms", must=90, next=60),
    Target("idle", "pss_mb", must=28, next=20),
    Target("idle", "holder_pss_mb", must=6, next=4),
    Target("rpc", "one_cpu_p50_x_floor", must=2.2, next=1.8),
    Target("rpc", "pipelined_per_s", must=250_000, next=400_000, more=True),
    Target("rpc", "pipelined_cpu_us", next=2.5),
    Target("connections", "per_s", must=130_000, next=170_000, more=True),
    Target("connections", "p99_us", next=500),
    Target("startvm", "api_reachability_ms", must=5, next=2),
    Target("spawn", "exit_p50_ms", next=4),  # then 2
    Target("echo", "p50_us", next=250),  # then 150
    Target("echo", "p99_us", next=400),
    Target("stream", "mb_per_s", must=500, next=800, more=True),
    Target("stream", "peak_rss_mb", must=96, next=64),
    Target("stream", "cpu_ms_per_mb", next=1.5),
    Target("streams8", "mb_per_s", next=700, more=True),
    Target("paced", "cpu_ms_per_mb", next=20),
    Target("biglines", "largest_frame", must=10 * 1024 * 1024),
    Target("stdin", "in_flight_mb_per_s", next=200, more=True),
    Target("kill", "term_exit_ms", must=5, next=3),
    Target("stalled", "growth_mb", must=32, next=16),
    Target("stalled", "rpc_max_ms", next=5),
    Target("beside", "p99_us", next=3_000),
    Target("restart", "reply_ms", next=200),
    Target("restart", "lost_bytes", must=0),
    Target("restart", "repeated_events", must=1),
    Target("sandbox-spawn", "over_host_ms", must=25),
    Target("sandbox-stream", "mb_per_s_x_host", must=0.95, more=True),
    Target("shell-ps", "ps_ms", must=150),
    Target("shell-ps", "holders_pss_mb", must=500),
    Target("shell-logs", "mb_per_s", must=300, more=True),
    Target("shell-attach", "screen_ms", must=100),
    Target("proxy", "mb_per_s", must=200, more=True),
    Target("proxy", "crowd_peak_rss_mb", must=64),
    Target("proxy", "stalled_peak_rss_mb", must=64),
)


def target(section: str, figure: str) -> Target | None:
    """The goal for a figure, if there is one."""
    return next((t for t in TARGETS if (t.section, t.figure) == (section, figure)), None)


def verdict(goal: float | None, more: bool, value: Figure) -> str:
    """ "" without a goal, else the goal and "ok", "falls short", or "not measured"."""
    if goal is None:
        return ""
    text = f"{'>=' if more else '<='} {goal:,g}" if goal < 1e6 else f"{'>=' if more else '<='} {goal:,.0f}"
    if isinstance(value, (bool, str)) or value is None:
        return f"{text} not measured"
    reached = value >= goal if more else value <= goal
    return f"{text} {'ok' if reached else 'falls short'}"
