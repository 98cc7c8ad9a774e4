"""The codec: every row of the protocol's tables, replies and events byte by byte, and a hundred thousand bad frames."""

import json
import random
import struct
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, Struct

from cowork.errors import FrameError, InvalidParams, ParseError
from cowork.wire import codec, events, replies, requests
from cowork.wire.codec import (
    MAX_ERROR_TEXT,
    MAX_ID,
    decode_event,
    decode_params,
    decode_request,
    encode_error,
    encode_event,
    encode_event_into,
    encode_result,
    is_stream_json,
    join_reply,
    result_suffix,
)
from cowork.wire.frames import MAX_FRAME, FrameBuffer, pack

FAST = settings(derandomize=True, deadline=None, max_examples=200, database=None)

BAD = "\ufffd"
DEEP = 200_000


def body(frame: bytes) -> bytes:
    """The payload of one frame, which must be all there is."""
    (length,) = struct.unpack_from(">I", frame)
    assert len(frame) == length + 4
    return frame[4:]


def refuse_constant(name: str) -> object:
    raise ValueError(name)


def strict(payload: bytes) -> object:
    """What a strict reader makes of it: UTF-8 and no NaN."""
    return json.loads(payload.decode(), parse_constant=refuse_constant)


# Requests: what is taken


@pytest.mark.parametrize(
    ("payload", "method", "id"),
    [
        (b'{"method":"isRunning","id":1}', "isRunning", b"1"),
        (b' {\n"id" : 1 ,\t"method" : "isRunning"}\r\n ', "isRunning", b"1"),
        (b'{"method":"isRunning"}', "isRunning", None),
        (b'{"method":"isRunning","id":null}', "isRunning", b"null"),
        (b"{}", "", None),
        (b'{"id":5}', "", b"5"),
        (b'{"method":"a","method":"b","id":1,"id":2}', "b", b"2"),
        (b'{"METHOD":"a","ID":1}', "", None),
        (b'{"method":"a","jsonrpc":"2.0","extra":{"deep":[1,{"x":null}]},"id":3}', "a", b"3"),
        (b'{"m\\u0065thod":"\\u0069sRunning"}', "isRunning", None),
        (b'{"method":"__class__"}', "__class__", None),
        ('{"method":"größe","id":"é"}'.encode(), "größe", '"é"'.encode()),
        (b'{"method":"\\ud83d\\ude00"}', "😀", None),
    ],
)
def test_requests_that_are_taken(payload: bytes, method: str, id: bytes | None) -> None:
    for form in (payload, bytearray(payload), memoryview(payload)):
        request = decode_request(form)
        assert (request.method, request.id, request.params) == (method, id, None)


@pytest.mark.parametrize(
    "id",
    [
        b"0",
        b"7",
        b"-1",
        b"1.5",
        b"1.50",
        b"1e3",
        b"1E400",
        b"12345678901234567890",
        b"9" * 1000,
        b'"abc"',
        b'""',
        b'"\\u0041\\/"',
        b'{"a":1}',
        b'{ "a" : [ 1, 2 ] }',
        b"[]",
        b"true",
        b"null",
    ],
)
def test_the_id_comes_back_digit_for_digit(id: bytes) -> None:
    request = decode_request(b'{"id":%b,"method":"isRunning"}' % id)
    assert request.id == id
    assert body(encode_result(request.id, None)) == b'{"id":%b,"success":true,"result":{}}' % id


def test_the_id_comes_back_digit_for_digit_when_the_rest_had_to_be_repaired() -> None:
    request = decode_request(b'{"id":12345678901234567890.1e400,"method":"x","params":{"a":"\\ud800"}}')
    assert request.id == b"12345678901234567890.1e400"


@pytest.mark.parametrize(
    ("id", "echoed"),
    [
        (b'"a\xffb"', f'"a{BAD}b"'),
        (b'"\xe2\x82"', f'"{BAD}{BAD}"'),
        (b'"\\ud800"', '"\\ufffd"'),
        (b'{"\xc3\xa9\xff":"\\udc00"}', f'{{"é{BAD}":"\\ufffd"}}'),
    ],
)
def test_an_id_that_is_no_unicode_is_made_so(id: bytes, echoed: str) -> None:
    request = decode_request(b'{"method":"x","id":%b}' % id)
    assert request.id == echoed.encode()
    reply = strict(body(encode_error(request.id, "no")))
    assert reply == {"id": json.loads(echoed), "success": False, "error": "no"}


def test_the_id_survives_the_receive_buffer() -> None:
    buffer = bytearray(b'{"method":"isRunning","id":"abc","params":{}}')
    request = decode_request(memoryview(buffer))
    buffer[:] = b"x" * len(buffer)
    assert request.id == b'"abc"'
    assert request.method == "isRunning"


def test_the_params_are_raw_text() -> None:
    assert decode_request(b'{"method":"a","params": [1, 2] }').params == Raw(b"[1, 2]")
    assert decode_request(b'{"method":"a","params":null}').params == Raw(b"null")
    assert decode_request(b'{"method":"a"}').params is None


@pytest.mark.parametrize(
    ("payload", "method"),
    [
        (b'{"method":"a\xffb"}', f"a{BAD}b"),
        (b'{"method":"\\ud800x"}', f"{BAD}x"),
        (b'{"method":"x","\xff":1}', "x"),
        (b'{"method":"x","other":"\\udc00"}', "x"),
        (b'{"method":"x","\\ud800":1}', "x"),
    ],
)
def test_strings_that_are_no_unicode_are_taken(payload: bytes, method: str) -> None:
    assert decode_request(payload).method == method


def test_a_request_of_the_largest_size() -> None:
    start, end = b'{"method":"isRunning","id":1,"params":{"x":"', b'"}}'
    payload = start + b"x" * (MAX_FRAME - len(start) - len(end)) + end
    assert len(payload) == MAX_FRAME
    assert decode_request(payload).id == b"1"


# Requests: what is refused


@pytest.mark.parametrize(
    "payload",
    [
        b"{bad",
        b"",
        b" ",
        b"{",
        b'{"method":"a"',
        b'{"method":"nope","id":1} x',
        b'{"method":"nope","id":1}{}',
        b'{"method":"a","id":1}\0',
        b'{"method":"a",}',
        b'{"method":"a","id":NaN}',
        b'{"method":"a","params":{"x":Infinity}}',
        b'{"method":"a","params":[-Infinity]}',
        b'{"method":"a","id":01}',
        b'{"method":"a","id":+1}',
        b'{"method":"a","id":1.}',
        b'{"method":"a","params":"\n"}',
        b'{"method":"a","params":"\\x"}',
        b'{"method":"a","params":"\\ud80"}',
        b"{'method':'a'}",
        b'\xef\xbb\xbf{"method":"a"}',
        b"\xff\xfe{",
        '{"method":"a"}'.encode("utf-16"),
        b'{"method":"a\xff","id":}',
    ],
)
def test_what_is_not_json_is_refused(payload: bytes) -> None:
    with pytest.raises(ParseError, match=r"^Parse error: .") as caught:
        decode_request(payload)
    assert caught.value.id is None
    reply = strict(body(encode_error(caught.value.id, caught.value.message)))
    assert reply == {"success": False, "error": caught.value.message}


@pytest.mark.parametrize(
    ("payload", "found"),
    [(b"[]", "array"), (b'[{"id":1}]', "array"), (b'"x"', "str"), (b"5", "int"), (b"null", "null"), (b"true", "bool")],
)
def test_what_is_no_object_is_refused(payload: bytes, found: str) -> None:
    with pytest.raises(ParseError) as caught:
        decode_request(payload)
    assert caught.value.message == f"Parse error: request must be an object, not {found}"
    assert caught.value.id is None


@pytest.mark.parametrize(
    ("payload", "id", "found"),
    [
        (b'{"method":5,"id":7}', b"7", "int"),
        (b'{"id":"seven","method":["a"]}', b'"seven"', "array"),
        (b'{"method":null,"id":7}', b"7", "null"),
        (b'{"method":{"id":1}}', None, "object"),
        (b'{"method":5,"id":"\xff"}', f'"{BAD}"'.encode(), "int"),
        (b'{"method":5,"id":"\\ud800"}', b'"\\ufffd"', "int"),
        (b'{"method":5,"id":7,"method":"a"}', b"7", "int"),
    ],
)
def test_a_method_that_is_no_string_is_refused_with_the_id(payload: bytes, id: bytes | None, found: str) -> None:
    with pytest.raises(ParseError) as caught:
        decode_request(payload)
    assert caught.value.message == f"Parse error: method must be a string, not {found}"
    assert caught.value.id == id


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"method":"isRunning","id":1,"params":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"method":"isRunning","id":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"method":' + b"[" * DEEP + b"]" * DEEP + b',"id":1}',
        b'{"method":"isRunning","x":"\\ud800","params":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"method":"\xff","params":' + b"[" * DEEP,
    ],
)
def test_deep_nesting_is_refused(payload: bytes) -> None:
    with pytest.raises(ParseError, match=r"^Parse error: "):
        decode_request(payload)


def test_an_id_too_long_to_be_echoed_is_refused() -> None:
    assert decode_request(b'{"method":"a","id":"%b"}' % (b"x" * (MAX_ID - 2))).id is not None
    for method, problem in ((b'"a"', f"id is longer than {MAX_ID} bytes"), (b"5", "method must be a string")):
        with pytest.raises(ParseError, match=f"^Parse error: {problem}") as caught:
            decode_request(b'{"method":%b,"id":"%b"}' % (method, b"x" * (MAX_ID - 1)))
        assert caught.value.id is None


# Params


def test_missing_params_are_all_defaults() -> None:
    for raw in (None, Raw(b"null"), Raw(b"{}"), b"null", b" { } "):
        assert decode_params(requests.Spawn, raw) == requests.Spawn()


def test_unknown_keys_are_ignored() -> None:
    raw = b'{"id":"p","future":{"deep":[{"x":1}]},"ID":5,"\xff":"\xff"}'
    assert decode_params(requests.IsProcessRunning, raw) == requests.IsProcessRunning(id="p")


def test_null_stands_for_the_default_of_any_field() -> None:
    for kind in requests.METHODS.values():
        nulls = dict.fromkeys(kind.__struct_encode_fields__)
        assert decode_params(kind, json.dumps(nulls).encode()) == kind()


def test_null_beside_values_and_inside_them() -> None:
    raw = b"""{"id":"p","cwd":null,"args":["a",null,"b"],"env":{"GONE":null,"SET":"1"},"isResume":true,
        "additionalMounts":{"proj":{"path":"/home/ana/p","mode":null},"odd":null}}"""
    assert decode_params(requests.Spawn, raw) == requests.Spawn(
        id="p",
        args=["a", "", "b"],
        env={"GONE": None, "SET": "1"},
        is_resume=True,
        additional_mounts={"proj": requests.Mount("/home/ana/p"), "odd": requests.Mount()},
    )


@pytest.mark.parametrize(
    ("kind", "raw", "field", "problem"),
    [
        (requests.Configure, b'{"memoryMB":1.5}', "memoryMB", "must be an integer, not float"),
        (requests.Configure, b'{"memoryMB":1.0}', "memoryMB", "must be an integer, not float"),
        (requests.Configure, b'{"memoryMB":"1"}', "memoryMB", "must be an integer, not str"),
        (requests.Configure, b'{"memoryMB":true}', "memoryMB", "must be an integer, not bool"),
        (requests.Configure, b'{"cpuCount":[]}', "cpuCount", "must be an integer, not array"),
        (requests.Configure, b'{"sessionOnly":1}', "sessionOnly", "must be true or false, not int"),
        (requests.Configure, b'{"sessionOnly":"true"}', "sessionOnly", "must be true or false, not str"),
        (requests.Configure, b'{"networkDrives":{}}', "networkDrives", "must be array, not object"),
        (requests.Kill, b'{"id":5}', "id", "must be a string, not int"),
        (requests.Kill, b'{"signal":true}', "signal", "must be int | str, not bool"),
        (requests.Kill, b'{"signal":9.5}', "signal", "must be int | str, not float"),
        (requests.Spawn, b'{"cwd":null,"args":["a","b",3]}', "args[2]", "must be a string, not int"),
        (requests.Spawn, b'{"args":"ls"}', "args", "must be array, not str"),
        (requests.Spawn, b'{"args":{"0":"ls"}}', "args", "must be array, not object"),
        (requests.Spawn, b'{"env":{"A":"1","B":2}}', "env.B", "must be str | null, not int"),
        (requests.Spawn, b'{"env":["A=1"]}', "env", "must be an object, not array"),
        (requests.Spawn, b'{"allowedDomains":["a",1]}', "allowedDomains[1]", "must be a string, not int"),
        (requests.Spawn, b'{"allowedDomains":"a"}', "allowedDomains", "must be array | null, not str"),
        (
            requests.Spawn,
            b'{"additionalMounts":{"a":{"mode":"rw"},"proj":{"path":"/p","mode":7}}}',
            "additionalMounts.proj.mode",
            "must be a string, not int",
        ),
        (
            requests.Spawn,
            b'{"additionalMounts":{"proj":"/p"}}',
            "additionalMounts.proj",
            "must be an object, not str",
        ),
        (requests.WriteStdin, b'{"data":{"\xff":1}}', "data", "must be a string, not object"),
        (requests.Spawn, b"[1]", "params", "must be an object, not array"),
        (requests.Spawn, b'"x"', "params", "must be an object, not str"),
        (requests.Spawn, b"0", "params", "must be an object, not int"),
        (requests.StopVM, b"true", "params", "must be an object, not bool"),
    ],
)
def test_a_wrong_type_is_refused_by_the_name_of_its_field(
    kind: type[requests.Params], raw: bytes, field: str, problem: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        decode_params(kind, raw)
    assert caught.value.field == field
    assert caught.value.message == f"Invalid params: {field} {problem}"


def test_an_integer_of_any_length_is_read_or_refused() -> None:
    assert decode_params(requests.Configure, b'{"memoryMB":18446744073709551616}').memory_mb == 1 << 64
    with pytest.raises(InvalidParams, match=r"^Invalid params: memoryMB ") as caught:
        decode_params(requests.Configure, b'{"memoryMB":%b}' % (b"9" * 5000))
    assert caught.value.field == "memoryMB"


@pytest.mark.parametrize("raw", [b"[1]", b'"x"', b"7", b'{"name":5}', b'{"name":["\xff"]}'])
def test_tolerant_methods_take_wrong_params_for_none(raw: bytes) -> None:
    tolerant = {name for name, kind in requests.METHODS.items() if kind.tolerant}
    assert tolerant == {
        "isRunning",
        "isGuestConnected",
        "subscribeEvents",
        "isDebugLoggingEnabled",
        "getDownloadStatus",
        "getNetworkDrives",
    }
    for name in tolerant:
        kind = requests.METHODS[name]
        assert decode_params(kind, raw) == kind()


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b'{"id":"p","data":"a\\ud800b"}', f"a{BAD}b"),
        (b'{"id":"p","data":"\xff\xe2\x82"}', BAD * 3),
        (b'{"id":"p","data":"\\ud83d\\ude00\\u0000\\r\\n"}', "😀\0\r\n"),
        (b'{"id":"p","extra":null,"data":"\xff"}', BAD),
        (b'{"id":"p","data":"\\\\ud800"}', "\\ud800"),
    ],
)
def test_stdin_that_is_no_unicode_is_taken(raw: bytes, data: str) -> None:
    request = decode_request(b'{"method":"writeStdin","id":1,"params":%b}' % raw)
    for params in (request.params, raw):
        assert decode_params(requests.WriteStdin, params) == requests.WriteStdin(id="p", data=data)


def test_params_that_are_not_json_are_refused() -> None:
    for raw in (b"", b"{", b'{"id":}', b"{}x", b"\xff"):
        with pytest.raises(InvalidParams, match=r"^Invalid params: params are not JSON") as caught:
            decode_params(requests.Kill, raw)
        assert caught.value.field == "params"


def test_params_taken_with_more_of_the_stack_left_than_now() -> None:
    with pytest.raises(InvalidParams, match="nested too deeply"):
        decode_params(requests.Kill, b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}")


def test_what_is_unknown_is_not_taken_apart_to_find_a_mistake() -> None:
    raw = b'{"junk":[' + b"[]," * 50_000 + b'[]],"args":"x"}'
    with pytest.raises(InvalidParams, match=r"^Invalid params: args "):
        decode_params(requests.Spawn, raw)


# Replies


class Sample(Struct):
    text: str


@pytest.mark.parametrize("id", [None, b"1", b"null", b'"a"', b'{"a":1}'])
@pytest.mark.parametrize(
    ("result", "text"), [(None, b"{}"), (replies.Void(), b"{}"), (replies.Running(False), b'{"running":false}')]
)
def test_a_result_and_its_two_ways_to_the_wire(id: bytes | None, result: Struct | None, text: bytes) -> None:
    expected = (b'{"id":%b,' % id if id else b"{") + b'"success":true,"result":%b}' % text
    assert body(encode_result(id, result)) == expected
    assert body(join_reply(id, result_suffix(result))) == expected


@pytest.mark.parametrize(
    ("id", "message", "code", "text"),
    [
        (b"7", "Unknown method: x", None, '{"id":7,"success":false,"error":"Unknown method: x"}'),
        (None, "Parse error: y", None, '{"success":false,"error":"Parse error: y"}'),
        (b"null", 'a "b"\n', None, '{"id":null,"success":false,"error":"a \\"b\\"\\n"}'),
        (
            b"1",
            "stdin is full (-32002)",
            -32002,
            '{"id":1,"success":false,"error":"stdin is full (-32002)","code":-32002}',
        ),
        (b"1", "stdin is full", -32002, '{"id":1,"success":false,"error":"stdin is full (-32002)","code":-32002}'),
        (None, "full", -32002, '{"success":false,"error":"full (-32002)","code":-32002}'),
        (b"1", "/home/\udcff", None, f'{{"id":1,"success":false,"error":"/home/{BAD}"}}'),
    ],
)
def test_an_error(id: bytes | None, message: str, code: int | None, text: str) -> None:
    reply = body(encode_error(id, message, code))
    assert reply.decode().replace("\\ufffd", BAD) == text
    strict(reply)


def test_an_error_text_is_cut_to_fit_into_a_frame() -> None:
    reply = strict(body(encode_error(b'"%b"' % (b"x" * (MAX_ID - 2)), "\0" * MAX_FRAME, -1)))
    assert isinstance(reply, dict)
    assert reply["error"] == "\0" * MAX_ERROR_TEXT + "… (-1)"


def test_nothing_over_the_limit_is_sent() -> None:
    room = MAX_FRAME - len(b'{"id":1,"success":true,"result":{"text":""}}')
    fits, too_much = Sample("x" * room), Sample("x" * (room + 1))
    assert len(encode_result(b"1", fits)) == MAX_FRAME + 4
    assert len(join_reply(b"1", result_suffix(fits))) == MAX_FRAME + 4
    ways: list[Callable[[], bytes]] = [
        lambda: encode_result(b"1", too_much),
        lambda: join_reply(b"1", result_suffix(too_much)),
        lambda: join_reply(None, result_suffix(Sample("x" * (MAX_FRAME - 20)))),
    ]
    for way in ways:
        with pytest.raises(FrameError, match=str(MAX_FRAME)) as caught:
            way()
        assert caught.value.length > MAX_FRAME


def test_file_names_that_are_no_unicode_can_be_sent() -> None:
    result = replies.Spawned("p", ["ok", "b\udcffd", 'q"\udc80"'])
    assert body(encode_result(b"1", result)) == (
        b'{"id":1,"success":true,"result":{"id":"p","failedMounts":["ok","b\\ufffdd","q\\"\\ufffd\\""]}}'
    )


@FAST
@given(st.text(st.characters(), max_size=30), st.text(max_size=5))
def test_any_python_text_can_be_sent(text: str, id: str) -> None:
    expected = "".join(BAD if "\ud800" <= char <= "\udfff" else char for char in text)
    reply = strict(body(encode_result(json.dumps(id).encode(), Sample(text))))
    assert reply == {"id": id, "success": True, "result": {"text": expected}}
    event = events.Stdout("p", text)
    assert decode_event(body(encode_event(event))) == events.Stdout("p", expected)


# Events


def test_an_event_into_a_buffer_used_again() -> None:
    buffer = bytearray()
    for data in ("x" * 1000, "", "é" * 70_000, "short", "half \ud800 pair"):
        event = events.Stdout("p", data)
        total = encode_event_into(event, buffer)
        assert total == len(buffer)
        assert bytes(buffer) == encode_event(event)


def test_an_event_over_the_limit_is_not_sent() -> None:
    room = MAX_FRAME - len(b'{"type":"stdout","id":"p","data":""}')
    fits, too_much = events.Stdout("p", "x" * room), events.Stdout("p", "x" * (room + 1))
    buffer = bytearray()
    assert encode_event_into(fits, buffer) == len(encode_event(fits)) == MAX_FRAME + 4
    for way in (lambda: encode_event(too_much), lambda: encode_event_into(too_much, buffer)):
        with pytest.raises(FrameError, match=str(MAX_FRAME)) as caught:
            way()
        assert caught.value.length == MAX_FRAME + 1
    assert encode_event_into(events.Stdout("p", "x"), buffer) == len(buffer)


def test_a_guest_request_with_odd_bytes_can_be_sent() -> None:
    event = events.GuestRequest("a\udcff", "ask", Raw(b'{"n":1.5,"s":"\\ud800"}'))
    assert strict(body(encode_event(event))) == {
        "type": "request",
        "id": f"a{BAD}",
        "method": "ask",
        "params": {"n": 1.5, "s": BAD},
    }


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":"nope"}',
        b'{"type":"stdout","id":"p"}',
        b'{"type":"stdout","id":1,"data":""}',
        b'{"type":"stdout","id":"p","data":"\xff"}',
        b'{"type":"stdout","x":' + b"[" * DEEP,
    ],
)
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(ParseError, match=r"^Parse error: "):
        decode_event(payload)


def test_only_the_codec_may_meet_types_that_have_no_place_on_the_wire() -> None:
    with pytest.raises(NotImplementedError, match="complex"):
        codec._plain_raw(1j)


# Output


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"type":"result","x":[1,{}]}', True),
        (b'{"x":"\xff","type":"system"}\n', True),
        (b'{"type":""}', False),
        (b'{"type":5}', False),
        (b'{"x":1}', False),
        (b'["type"]', False),
        (b'{"type":"result"', False),
        (b'{"type":"\xff"}', False),
        (b'{"type":"x","deep":' + b"[" * DEEP, False),
        (b"", False),
    ],
)
def test_is_stream_json(line: bytes, expected: bool) -> None:
    assert is_stream_json(line) is expected
    assert is_stream_json(memoryview(line)) is expected


# Whatever comes


CORPUS = [
    b'{"method":"isRunning","id":1}',
    b'{"method":"writeStdin","id":"a\\u0041","params":{"id":"p","data":"x\\ud83d\\ude00\\n"}}',
    b'{"id":12345678901234567890,"method":"kill","params":{"id":"p","signal":9}}',
    '{"method":"spawn","id":{"a":1},"params":{"id":"é€😀","args":["a",null],"env":{"A":"1","B":null}}}'.encode(),
    b'{"method":"spawn","id":2,"params":{"additionalMounts":{"proj":{"path":"/p","mode":"rw"}},"cwd":null}}',
    b'{"method":"configure","id":1.5,"params":{"memoryMB":4096,"sessionOnly":true,"networkDrives":[1,{}]}}',
    b'{"method":"sendGuestResponse","id":null,"params":{"id":"1","resultJson":"{}","error":""}}',
]
SPICE = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\xff", b"\xc3", b"\0", b"\\ud800", b"null", b"true"]
SPICE += [b"1e999", b"-", b"NaN", b'"id"', b"method", b" ", b"\xed\xa0\x80", b"\\u", b"0", b"9" * 30]


def mutate(rng: random.Random) -> bytes:
    payload = bytearray(rng.choice(CORPUS))
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        place = rng.randrange(len(payload) + 1)
        match rng.randrange(4):
            case 0:
                payload[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                payload[place:place] = rng.choice(SPICE)
            case 2:
                del payload[place : place + rng.randrange(1, 6)]
            case _:
                other = rng.choice(CORPUS)
                start = rng.randrange(len(other))
                payload[place:place] = other[start : start + rng.randrange(12)]
    return bytes(payload)


def answer(payload: bytes | memoryview) -> bytes:
    """What a server does with a frame, up to running the method."""
    try:
        request = decode_request(payload)
    except ParseError as error:
        return encode_error(error.id, error.message)
    kind = requests.METHODS.get(request.method)
    if kind is None:
        return encode_error(request.id, f"Unknown method: {request.method}")
    try:
        params = decode_params(kind, request.params)
    except InvalidParams as error:
        return encode_error(request.id, error.message)
    return encode_result(request.id, params)


def test_a_hundred_thousand_mutated_requests_each_get_a_reply() -> None:
    rng = random.Random(20261120)
    outcomes = {True: 0, False: 0}
    for _ in range(100_000):
        payload = mutate(rng)
        reply = strict(body(answer(payload)))
        assert isinstance(reply, dict)
        outcomes[reply["success"]] += 1
        try:
            value = strict(payload)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get("method", ""), str) and "\\ud" not in str(payload):
            assert not reply.get("error", "").startswith("Parse error"), payload
            assert reply.get("id", answer) == value.get("id", answer), payload
    assert min(outcomes.values()) > 10_000  # neither path was spared


def test_random_streams_raise_nothing_but_frame_errors() -> None:
    rng, broken = random.Random(7), 0
    for _ in range(3000):
        stream = b"".join(pack(mutate(rng) or b"x") for _ in range(rng.randrange(4)))
        stream += rng.randbytes(rng.randrange(12)) if rng.random() < 0.5 else b""
        buffer = FrameBuffer()
        buffer.get_buffer(-1)[: len(stream)] = stream
        try:
            for payload in buffer.received(len(stream)):
                strict(body(answer(payload)))
        except FrameError:
            broken += 1
    assert 100 < broken < 2900


def test_the_recursion_limit_is_left_alone() -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(ParseError):
        decode_request(b"[" * DEEP)
    assert sys.getrecursionlimit() == limit
