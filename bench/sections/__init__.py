"""The sections, in the order in which they run."""

from bench.section import Section
from bench.sections import (
    beside,
    biglines,
    cold_start,
    connections,
    echo,
    fidelity,
    idle,
    kill,
    restart,
    rpc,
    spawn,
    stalled,
    startvm,
    stdin,
    stream,
)

SECTIONS = (
    Section("cold-start", cold_start.measure),
    Section("idle", idle.measure),
    Section("rpc", rpc.measure, rpc.floor, ("p50_us", "one_cpu_p50_us", "pipelined_per_s")),
    Section("connections", connections.measure, connections.floor, ("per_s",)),
    Section("startvm", startvm.measure),
    Section("spawn", spawn.measure),
    Section("echo", echo.measure),
    Section("stream", stream.measure, stream.floor, ("mb_per_s",)),
    Section("streams8", stream.measure_eight),
    Section("paced", stream.measure_paced),
    Section("biglines", biglines.measure),
    Section("stdin", stdin.measure),
    Section("kill", kill.measure),
    Section("stalled", stalled.measure),
    Section("beside", beside.measure),
    Section("restart", restart.measure),
    Section("fidelity", fidelity.measure),
)
