"""Results as the clients read them."""

import json

import pytest
from msgspec import Struct

from cowork.wire import replies
from cowork.wire.codec import encode_result

EXAMPLES: list[tuple[Struct, str]] = [
    (replies.Void(), "{}"),
    (replies.Subscribed(), '{"subscribed":true}'),
    (replies.Running(True), '{"running":true}'),
    (replies.GuestConnected(False), '{"connected":false}'),
    (replies.Spawned("p1"), '{"id":"p1","failedMounts":[]}'),
    (replies.Spawned("p1", ["proj"]), '{"id":"p1","failedMounts":["proj"]}'),
    (replies.ProcessRunning(True), '{"running":true}'),
    (replies.ProcessRunning(False, 0), '{"running":false,"exitCode":0}'),
    (replies.ProcessRunning(False, -1), '{"running":false,"exitCode":-1}'),
    (replies.MountPath("/sessions/brave-otter/mnt/p"), '{"guestPath":"/sessions/brave-otter/mnt/p"}'),
    (replies.FileContent("aGVsbG8="), '{"content":"aGVsbG8="}'),
    (replies.DebugLogging(True), '{"enabled":true}'),
    (replies.DownloadStatus(), '{"status":"ready"}'),
    (replies.DisksInfo(1 << 40, 5), '{"totalBytes":1099511627776,"freeBytes":5,"sessions":[]}'),
    (
        replies.DisksInfo(2, 1, [replies.SessionSize("a", 3)]),
        '{"totalBytes":2,"freeBytes":1,"sessions":[{"name":"a","sizeBytes":3}]}',
    ),
    (replies.Deleted(), '{"deleted":[],"errors":{}}'),
    (
        replies.Deleted(["a"], {"..": "invalid session name"}),
        '{"deleted":["a"],"errors":{"..":"invalid session name"}}',
    ),
    (replies.Pruned(), '{"prunedSessions":[],"skippedSessions":[],"freedBytes":0,"errors":{}}'),
    (
        replies.Pruned(["a"], ["b"], 7, {"c": "busy"}),
        '{"prunedSessions":["a"],"skippedSessions":["b"],"freedBytes":7,"errors":{"c":"busy"}}',
    ),
    (replies.NetworkDrives(), '{"drives":[]}'),
]


@pytest.mark.parametrize(("result", "text"), EXAMPLES)
def test_the_examples(result: Struct, text: str) -> None:
    assert encode_result(None, result)[4:].decode() == f'{{"success":true,"result":{text}}}'
    json.loads(text)


def test_every_kind_of_result_has_an_example() -> None:
    kinds = set(replies.Reply.__subclasses__()) - {replies.SessionSize}
    assert {type(result) for result, _ in EXAMPLES} == kinds
