"""JSON payloads to and from typed values; the only module that imports ``msgspec.json``.

Requests are decoded in two steps: the envelope (method, id, the params as raw text), then the params into the
structure of their method. Fast paths let msgspec do everything; input that it refuses though the protocol
does not (broken UTF-8, halves of surrogate pairs, nulls in place of values) is taken apart again more slowly,
and so is input that is wrong, to name the place. What goes out is always valid UTF-8 JSON of at most
``MAX_FRAME`` bytes.
"""

from __future__ import annotations

import re
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, TypeVar, cast, get_args, get_origin

import msgspec
import msgspec.json
from msgspec import Raw, Struct

from cowork.errors import InvalidParams, ParseError
from cowork.wire.events import Event
from cowork.wire.frames import HEADER, HEADER_SIZE, MAX_FRAME, check_length, pack
from cowork.wire.requests import Params
from cowork.wire.text import repair_json

if TYPE_CHECKING:
    from typing import TypeAlias

    Bytes: TypeAlias = bytes | bytearray | memoryview

MAX_ID = 4096
"""Longest id in bytes of JSON text. It is kept while a request runs and must fit into the reply."""

MAX_ERROR_TEXT = 64 * 1024
"""Longest error text in characters; a longer one is cut, so that an error reply always fits into a frame."""

P = TypeVar("P", bound=Params)

_ABSENT = Raw(b"")
_MISTYPED = re.compile(r"Expected `(.+?)`, got `(.+?)`")
_NAME_OF_TYPE = {"int": "an integer", "bool": "true or false", "str": "a string", "object": "an object"}


class Request(Struct, frozen=True, gc=False):
    """One request as it came.

    ``id`` is the JSON text of the id, to be echoed as it is; None when there was none, ``b"null"`` when it
    was null. ``params`` is a view of the payload: decode it, or call its ``copy()``, before the receive
    buffer is used again.
    """

    method: str
    id: bytes | None
    params: Raw | None


class _Envelope(Struct, gc=False):
    method: str = ""
    id: Raw = _ABSENT
    params: Raw = _ABSENT


class _LooseEnvelope(Struct, gc=False):
    """What is left of a request whose method is no string."""

    id: Raw = _ABSENT


class _StreamJson(Struct, gc=False):
    """The one thing that all stream-json messages have."""

    type: str = ""


_pack_header = HEADER.pack
_pack_header_into = HEADER.pack_into
_encoder = msgspec.json.Encoder()
_stream_json_decoder = msgspec.json.Decoder(_StreamJson)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_loose_decoder = msgspec.json.Decoder(_LooseEnvelope)
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


# Requests


def decode_request(payload: Bytes) -> Request:
    """Decode the payload of one frame. Unknown keys are ignored, the last of equal keys counts.

    A missing method is the method with an empty name. Strings with invalid UTF-8 or lone surrogates are
    taken, with U+FFFD in their place.

    Raises:
        ParseError: it is not one JSON object, its method is no string, it is nested too deeply, or its id is
            longer than ``MAX_ID``. The error carries the id if it could be found; the message begins with
            ``Parse error:``.
    """
    try:
        envelope = _envelope_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        envelope = _decode_repaired(payload)
    params = envelope.params
    return Request(envelope.method, _id_text(envelope.id), None if params is _ABSENT else params)


def _decode_repaired(payload: Bytes) -> _Envelope:
    repaired = repair_json(payload)
    try:
        return _envelope_decoder.decode(repaired)
    except msgspec.ValidationError as error:
        subject = "method" if "$.method" in str(error) else "request"
        raise ParseError(f"Parse error: {subject} {_complaint(error)}", id=_loose_id(repaired)) from error
    except msgspec.DecodeError as error:
        raise ParseError(f"Parse error: {error}") from error
    except RecursionError as error:
        raise ParseError("Parse error: JSON is nested too deeply") from error


def _loose_id(repaired: bytes) -> bytes | None:
    try:
        return _id_text(_loose_decoder.decode(repaired).id)
    except (msgspec.DecodeError, RecursionError, ParseError):
        return None


def _id_text(raw: Raw) -> bytes | None:
    if raw is _ABSENT:
        return None
    text = bytes(raw)
    if len(text) > MAX_ID:
        raise ParseError(f"Parse error: id is longer than {MAX_ID} bytes")
    # The decoder checks the form of what it skips, but not that it is UTF-8; our reply has to be.
    return text if text.isascii() else repair_json(text)


# Params


def decode_params(kind: type[P], raw: Raw | bytes | None) -> P:
    """Decode the params of a request as `kind`, the entry of its method in ``requests.METHODS``.

    None, ``null`` and ``{}`` give all defaults; so does a null in place of a field's value. Unknown keys are
    ignored. Where `kind` is tolerant, params of a wrong type give the defaults instead of an error.

    Raises:
        InvalidParams: a value has the wrong type; ``field`` is its path (``additionalMounts.proj.mode``,
            ``args[2]``), or ``params`` when they are no object at all.
    """
    if raw is None:
        return kind()
    try:
        return cast("P", _decoder(kind).decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_params_slowly(kind, raw)


def _decode_params_slowly(kind: type[P], raw: Raw | bytes) -> P:
    try:
        return cast("P", _read(repair_json(raw), kind, ""))
    except InvalidParams:
        if kind.tolerant:
            return kind()
        raise
    except msgspec.DecodeError as error:
        raise InvalidParams(f"Invalid params: params are not JSON: {error}", field="params") from error
    except RecursionError as error:
        # The envelope's decoder took them, but it may have had more of the stack left.
        raise InvalidParams("Invalid params: params are nested too deeply", field="params") from error


def _read(text: Raw | bytes, kind: object, path: str) -> object:
    """Decode one value, and on a mistake go down to the part of it that is wrong."""
    try:
        return _decoder(kind).decode(text)
    except msgspec.ValidationError as error:
        structure = kind if isinstance(kind, type) and issubclass(kind, Struct) else None
        if bytes(text) == b"null" and (structure or kind is str):
            return structure() if structure else ""
        if structure is not None:
            return _read_fields(text, structure, path)
        return _read_items(text, kind, path, error)


def _read_fields(text: Raw | bytes, kind: type[Struct], path: str) -> Struct:
    try:
        members = _shallow_decoder(kind).decode(text)
    except msgspec.ValidationError as error:
        raise _invalid(path or "params", error) from error
    values: dict[str, object] = {}
    for field in _fields(kind):
        member = cast("Raw", getattr(members, field.name))
        if member is not _ABSENT and bytes(member) != b"null":
            name = field.encode_name
            values[field.name] = _read(member, field.type, f"{path}.{name}" if path else name)
    return kind(**values)


def _read_items(text: Raw | bytes, kind: object, path: str, error: msgspec.ValidationError) -> object:
    for arm in get_args(kind) if isinstance(kind, UnionType) else (kind,):
        origin, arguments = get_origin(arm), get_args(arm)
        try:
            if origin is list:
                items = cast("list[Raw]", _decoder(list[Raw]).decode(text))
                return [_read(item, arguments[0], f"{path}[{index}]") for index, item in enumerate(items)]
            if origin is dict:
                members = cast("dict[str, Raw]", _decoder(dict[str, Raw]).decode(text))
                return {key: _read(item, arguments[1], f"{path}.{key}") for key, item in members.items()}
        except msgspec.ValidationError:
            break  # not even a list or an object
    raise _invalid(path, error) from error


@cache
def _decoder(kind: object) -> msgspec.json.Decoder[object]:
    return msgspec.json.Decoder(kind)


@cache
def _fields(kind: type[Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


@cache
def _shallow_decoder(kind: type[Struct]) -> msgspec.json.Decoder[Struct]:
    """A decoder for the known fields of `kind` as raw text: what is unknown is skipped, however large."""
    fields = _fields(kind)
    return msgspec.json.Decoder(
        msgspec.defstruct(
            kind.__name__,
            [(field.name, Raw, _ABSENT) for field in fields],
            rename={field.name: field.encode_name for field in fields},
        )
    )


def _invalid(path: str, error: msgspec.ValidationError) -> InvalidParams:
    return InvalidParams(f"Invalid params: {path} {_complaint(error)}", field=path)


def _complaint(error: msgspec.ValidationError) -> str:
    """What msgspec found wrong with a value, as the end of a sentence."""
    match = _MISTYPED.match(str(error))
    if match is None:
        return f"is not valid: {error}"
    expected, found = match.groups()
    return f"must be {_NAME_OF_TYPE.get(expected, expected)}, not {found}"


# Replies


def encode_result(id: bytes | None, result: Struct | None) -> bytes:
    """Return the framed success reply to the request with this id; a void `result` (None) is sent as ``{}``.

    Raises:
        FrameError: the reply would be longer than ``MAX_FRAME``.
    """
    head = b'{"success":true,"result":' if id is None else b'{"id":%b,"success":true,"result":' % id
    return _frame(head, b"{}" if result is None else _encode(result), b"}")


def result_suffix(result: Struct | None) -> bytes:
    """Return the part of a success reply that does not depend on the id, for ``join_reply``.

    Replies of few values that are asked for all the time (``isRunning``) are encoded once and kept.
    """
    return b'"success":true,"result":%b}' % (b"{}" if result is None else _encode(result))


def join_reply(id: bytes | None, suffix: bytes) -> bytes:
    """Return the framed reply made of an id and a ``result_suffix``: the same bytes as ``encode_result``.

    Raises:
        FrameError: the reply would be longer than ``MAX_FRAME``.
    """
    if id is None:
        return _frame(b"{", suffix)
    length = 7 + len(id) + len(suffix)  # 7: what stands around the id
    if length > MAX_FRAME:
        check_length(length)
    return b"".join((_pack_header(length), b'{"id":', id, b",", suffix))


def encode_error(id: bytes | None, message: str, code: int | None = None) -> bytes:
    """Return the framed failure reply. A `code` is sent as a number and is put into the text as well.

    A message over ``MAX_ERROR_TEXT`` characters is cut, so this does not fail for the ids of
    ``decode_request``.
    """
    if len(message) > MAX_ERROR_TEXT:
        message = f"{message[:MAX_ERROR_TEXT]}…"
    if code is not None and str(code) not in message:
        message = f"{message} ({code})"
    head = b'{"success":false,"error":' if id is None else b'{"id":%b,"success":false,"error":' % id
    return _frame(head, _encode(message), b"}" if code is None else b',"code":%d}' % code)


# Events


def encode_event(event: Event) -> bytes:
    """Return the framed event.

    Raises:
        FrameError: the event would be longer than ``MAX_FRAME``.
    """
    return pack(_encode(event))


def encode_event_into(event: Event, buffer: bytearray) -> int:
    """Put the framed event at the start of `buffer` and cut or extend it to fit; return its length in bytes.

    For output at full rate: the memory of one buffer is used again and again. Nothing may hold a view of it.

    Raises:
        FrameError: the event would be longer than ``MAX_FRAME``; the contents of `buffer` are undefined then.
    """
    try:
        _encoder.encode_into(event, buffer, HEADER_SIZE)
    except UnicodeEncodeError:
        buffer[:] = bytes(HEADER_SIZE) + _encode_surrogates(event)
    total = len(buffer)
    length = total - HEADER_SIZE
    if length > MAX_FRAME:
        check_length(length)
    _pack_header_into(buffer, 0, length)
    return total


def decode_event(payload: Bytes) -> Event:
    """Decode the payload of an event frame: the client's side.

    Raises:
        ParseError: it is no event that ``wire.events`` knows.
    """
    try:
        return _event_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError(f"Parse error: {error}") from error


def is_stream_json(line: Bytes) -> bool:
    """Whether a line of output is a stream-json message: a JSON object with a string ``type``."""
    try:
        return bool(_stream_json_decoder.decode(line).type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


# Encoding


def _encode(value: Struct | str) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encode_surrogates(value)


def _encode_surrogates(value: Struct | str) -> bytes:
    """Encode a value with file names in it, whose bad bytes Python keeps as lone surrogates (PEP 383)."""
    import json  # rarely needed, and 2 ms of every start

    plain = msgspec.to_builtins(value, enc_hook=_plain_raw)
    return repair_json(json.dumps(plain, separators=(",", ":")).encode())


def _plain_raw(value: object) -> object:
    if isinstance(value, Raw):
        return msgspec.json.decode(repair_json(value))
    raise NotImplementedError(f"{type(value).__name__} has no place on the wire")


def _frame(*parts: bytes) -> bytes:
    length = sum(map(len, parts))
    check_length(length)
    return b"".join((_pack_header(length), *parts))
