"""The parameters of every method: names on the wire, examples, defaults, and what is never printed."""

import json

import msgspec.json
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.errors import InvalidParams
from cowork.wire import requests
from cowork.wire.codec import decode_params
from cowork.wire.requests import METHODS, Mount, Params, hidden

FAST = settings(derandomize=True, deadline=None, max_examples=60, database=None)

TOKEN = "sk-ant-oat01-SECRET"

# One full example of each method, as the clients and daemons spell it (docs/protocol.md), and what becomes of it.
EXAMPLES: list[tuple[str, str, Params]] = [
    (
        "configure",
        """{"userDataName":"Claude","userDataRoot":"/home/ana/.config/Claude","memoryMB":4096,"cpuCount":2,
        "networkDrives":[{"letter":"Z"}],"smolBinPath":"/r/smol.img","logDir":"/l","virtiofsdPath":"/usr/v",
        "firmwareCodePath":"/c.fd","firmwareVarsTemplatePath":"/v.fd"}""",
        requests.Configure(
            user_data_name="Claude",
            user_data_root="/home/ana/.config/Claude",
            memory_mb=4096,
            cpu_count=2,
            network_drives=[{"letter": "Z"}],
            smol_bin_path="/r/smol.img",
            log_dir="/l",
            virtiofsd_path="/usr/v",
            firmware_code_path="/c.fd",
            firmware_vars_template_path="/v.fd",
        ),
    ),
    (
        "configure",
        '{"userDataName":"Claude","userDataRoot":"/u","sessionOnly":true}',
        requests.Configure(user_data_name="Claude", user_data_root="/u", session_only=True),
    ),
    (
        "createVM",
        '{"bundlePath":"/b","diskSizeGB":10,"name":"old"}',
        requests.CreateVM(bundle_path="/b", disk_size_gb=10, name="old"),
    ),
    (
        "startVM",
        '{"bundlePath":"/b","memoryGB":8,"cpuCount":4,"apiProbeURL":"https://api.example","name":"old"}',
        requests.StartVM(bundle_path="/b", memory_gb=8, cpu_count=4, api_probe_url="https://api.example", name="old"),
    ),
    ("stopVM", '{"name":"old"}', requests.StopVM(name="old")),
    (
        "subscribeEvents",
        '{"userDataName":"Claude","userDataRoot":"/u","name":"old"}',
        requests.SubscribeEvents(user_data_name="Claude", user_data_root="/u", name="old"),
    ),
    ("isRunning", '{"name":"old"}', requests.IsRunning(name="old")),
    ("isGuestConnected", '{"name":"old"}', requests.IsGuestConnected(name="old")),
    (
        "spawn",
        """{"id":"p1","name":"brave-otter","command":"claude","args":["--verbose"],"isResume":true,"cwd":"/s",
        "env":{"A":"1","B":null},"additionalMounts":{"proj":{"path":"/home/ana/proj","mode":"rwd"}},
        "allowedDomains":[],"oneShot":true,"mountSkeletonHome":true,"oauthToken":"t","sharedCwdPath":"/c"}""",
        requests.Spawn(
            id="p1",
            name="brave-otter",
            command="claude",
            args=["--verbose"],
            is_resume=True,
            cwd="/s",
            env={"A": "1", "B": None},
            additional_mounts={"proj": Mount("/home/ana/proj", "rwd")},
            allowed_domains=[],
            one_shot=True,
            mount_skeleton_home=True,
            oauth_token="t",
            shared_cwd_path="/c",
        ),
    ),
    ("kill", '{"id":"p1","signal":"SIGTERM"}', requests.Kill(id="p1", signal="SIGTERM")),
    ("kill", '{"id":"p1","signal":9}', requests.Kill(id="p1", signal=9)),
    ("writeStdin", '{"id":"p1","data":"{}\\n"}', requests.WriteStdin(id="p1", data="{}\n")),
    ("isProcessRunning", '{"id":"p1"}', requests.IsProcessRunning(id="p1")),
    (
        "mountPath",
        '{"processId":"p1","subpath":"home/ana","mountName":"proj","mode":"rw"}',
        requests.MountPath(process_id="p1", subpath="home/ana", mount_name="proj", mode="rw"),
    ),
    (
        "readFile",
        '{"processName":"p1","filePath":"/sessions/brave-otter/a"}',
        requests.ReadFile(process_name="p1", file_path="/sessions/brave-otter/a"),
    ),
    (
        "installSdk",
        '{"sdkSubpath":"a/b","version":"2.1.197"}',
        requests.InstallSdk(sdk_subpath="a/b", version="2.1.197"),
    ),
    (
        "addApprovedOauthToken",
        '{"token":"t","name":"old"}',
        requests.AddApprovedOauthToken(token="t", name="old"),
    ),
    ("setDebugLogging", '{"enabled":true}', requests.SetDebugLogging(enabled=True)),
    ("isDebugLoggingEnabled", "{}", requests.IsDebugLoggingEnabled()),
    ("getDownloadStatus", "{}", requests.GetDownloadStatus()),
    (
        "getSessionsDiskInfo",
        '{"lowWaterBytes":524288000}',
        requests.GetSessionsDiskInfo(low_water_bytes=524288000),
    ),
    ("deleteSessionDirs", '{"names":["a","b"]}', requests.DeleteSessionDirs(names=["a", "b"])),
    (
        "createDiskImage",
        '{"diskName":"d","sizeGiB":20}',
        requests.CreateDiskImage(disk_name="d", size_gib=20),
    ),
    (
        "sendGuestResponse",
        '{"id":"1","resultJson":"{\\"a\\":1}","error":"no"}',
        requests.SendGuestResponse(id="1", result_json='{"a":1}', error="no"),
    ),
    ("sendGuestResponse", '{"id":1}', requests.SendGuestResponse(id=1)),
    (
        "pruneSessionCaches",
        '{"onlyIfFreeBytesBelow":1073741824,"includeSessionTmp":true,"sessionTmpOlderThanSeconds":259200}',
        requests.PruneSessionCaches(
            only_if_free_bytes_below=1 << 30, include_session_tmp=True, session_tmp_older_than_seconds=259200
        ),
    ),
    ("getNetworkDrives", "{}", requests.GetNetworkDrives()),
]


@pytest.mark.parametrize(("method", "text", "params"), EXAMPLES)
def test_the_examples(method: str, text: str, params: Params) -> None:
    assert type(params) is METHODS[method]
    assert decode_params(METHODS[method], text.encode()) == params


def test_every_method_and_every_field_has_an_example() -> None:
    for method, kind in METHODS.items():
        given = {key for name, text, _ in EXAMPLES if name == method for key in json.loads(text)}
        assert given == set(kind.__struct_encode_fields__)


def test_the_methods() -> None:
    assert len(METHODS) == len(set(METHODS.values())) == 24
    assert {method for method, _, _ in EXAMPLES} == set(METHODS)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nope",
        "constructor",
        "toString",
        "hasOwnProperty",
        "__proto__",
        "__class__",
        "__init__",
        "keys",
        "IsRunning",
        "isrunning",
        "isRunning ",
        "spawn\x00",
    ],
)
def test_other_names_are_unknown(name: str) -> None:
    assert name not in METHODS


def test_all_fields_may_be_missing() -> None:
    for kind in METHODS.values():
        assert decode_params(kind, b"{}") == kind() == decode_params(kind, None)


def test_defaults_are_not_shared() -> None:
    first, second = requests.Spawn(), requests.Spawn()
    assert first.env is not second.env
    assert first.args is not second.args


def test_no_word_about_domains_is_not_an_empty_list_of_domains() -> None:
    assert decode_params(requests.Spawn, b"{}").allowed_domains is None
    assert decode_params(requests.Spawn, b'{"allowedDomains":null}').allowed_domains is None
    assert decode_params(requests.Spawn, b'{"allowedDomains":[]}').allowed_domains == []


def test_a_variable_without_a_value_is_not_a_missing_variable() -> None:
    assert decode_params(requests.Spawn, b'{"env":null}').env == {}
    assert decode_params(requests.Spawn, b'{"env":{"A":null,"B":""}}').env == {"A": None, "B": ""}


def test_a_number_is_not_a_truth_value() -> None:
    for method, kind in METHODS.items():
        for name, value in msgspec.to_builtins(kind()).items():
            if not kind.tolerant and type(value) in (bool, int):
                wrong = b"1" if type(value) is bool else b"true"
                with pytest.raises(InvalidParams, match=f"^Invalid params: {name} ") as caught:
                    decode_params(kind, b'{"%b":%b}' % (name.encode(), wrong))
                assert caught.value.field == name, method


@FAST
@given(st.data())
def test_what_is_written_is_read_again(data: st.DataObject) -> None:
    for kind in METHODS.values():
        params = data.draw(params_of(kind))
        assert decode_params(kind, msgspec.json.encode(params)) == params


def params_of(kind: type[Params]) -> st.SearchStrategy[Params]:
    text = st.text(max_size=6)
    by_type: dict[str, st.SearchStrategy[object]] = {
        "str": text,
        "int": st.integers(-(1 << 63), (1 << 64) - 1),
        "bool": st.booleans(),
        "str | int": text | st.integers(0, 64),
        "list[str]": st.lists(text, max_size=3),
        "list[str] | None": st.none() | st.lists(text, max_size=3),
        "list[object]": st.lists(st.none() | st.integers(0, 9) | text, max_size=3),
        "dict[str, str | None]": st.dictionaries(text, st.none() | text, max_size=3),
        "dict[str, Mount]": st.dictionaries(text, st.builds(Mount, text, text), max_size=3),
    }
    own = {name: by_type[kind.__annotations__[name]] for name in kind.__struct_fields__}
    return st.builds(kind, **own)


# What is printed


def test_secrets_are_not_printed() -> None:
    spawn = requests.Spawn(id="p", oauth_token=TOKEN, env={"TOKEN": TOKEN, "EMPTY": None})
    others: list[Params] = [
        requests.AddApprovedOauthToken(token=TOKEN),
        requests.WriteStdin(id="p", data=TOKEN),
        requests.SendGuestResponse(id="p", result_json=TOKEN),
    ]
    for params in (spawn, *others):
        for text in (repr(params), str(params), f"{params}", f"{params!r:>5}", repr([params])):
            assert TOKEN not in text
        assert TOKEN not in repr(params.__rich_repr__())


def test_what_is_printed() -> None:
    assert repr(requests.Kill(id="p", signal=9)) == "Kill(id='p', signal=9)"
    assert repr(requests.AddApprovedOauthToken()) == "AddApprovedOauthToken(token='', name='')"
    shown = repr(requests.Spawn(env={"A": "1", "B": None}, oauth_token="t"))
    assert "env={'A': '…', 'B': '…'}" in shown
    assert "oauth_token='…'" in shown
    assert "additional_mounts={}" in shown


def test_hidden() -> None:
    assert hidden("") == ""
    assert hidden("secret") == "…"
    assert hidden({}) == {}
    assert hidden({"NAME": "secret"}) == {"NAME": "…"}
