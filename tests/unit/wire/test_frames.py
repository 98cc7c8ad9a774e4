"""Frames: any split of any stream, limits, and what the receive buffer costs."""

import struct
import weakref
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.errors import FrameError
from cowork.wire import frames
from cowork.wire.frames import INITIAL_BUFFER, MAX_FRAME, FrameBuffer, pack

FAST = settings(derandomize=True, deadline=None, max_examples=150, database=None)


def feed(buffer: FrameBuffer, data: bytes) -> Iterator[bytes]:
    """Write `data` into the buffer as reads of at most the offered size would; yield copies of the payloads."""
    while data:
        space = buffer.get_buffer(-1)
        count = min(len(space), len(data))
        space[:count] = data[:count]
        data = data[count:]
        for payload in buffer.received(count):
            yield bytes(payload)


def feed_all(buffer: FrameBuffer, pieces: Iterable[bytes]) -> list[bytes]:
    return [payload for piece in pieces for payload in feed(buffer, piece)]


def header(length: int) -> bytes:
    return struct.pack(">I", length)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


# pack


def test_pack_puts_the_big_endian_length_in_front() -> None:
    assert pack(b"{}") == b"\0\0\0\x02{}"


def test_pack_takes_the_largest_frame_and_refuses_one_byte_more() -> None:
    assert len(pack(bytes(MAX_FRAME))) == MAX_FRAME + 4
    with pytest.raises(FrameError, match=r"10485761.*10485760") as caught:
        pack(bytes(MAX_FRAME + 1))
    assert caught.value.length == MAX_FRAME + 1


def test_pack_refuses_nothing() -> None:
    with pytest.raises(FrameError) as caught:
        pack(b"")
    assert caught.value.length == 0


# Splitting


@FAST
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=12), st.lists(st.integers(0), max_size=30))
def test_any_split_of_a_stream_gives_the_same_frames(payloads: list[bytes], places: list[int]) -> None:
    stream = b"".join(map(pack, payloads))
    buffer = FrameBuffer()
    assert feed_all(buffer, cut(stream, places)) == payloads
    assert buffer.pending == 0


@FAST
@given(
    st.lists(st.integers(1, 3 * INITIAL_BUFFER), min_size=1, max_size=6),
    st.lists(st.integers(0), max_size=12),
)
def test_frames_around_the_size_of_the_buffer_survive_any_split(sizes: list[int], places: list[int]) -> None:
    payloads = [bytes([index + 1]) * size for index, size in enumerate(sizes)]
    assert feed_all(FrameBuffer(), cut(b"".join(map(pack, payloads)), places)) == payloads


@FAST
@given(st.binary(max_size=400), st.lists(st.integers(0), max_size=20))
def test_any_split_of_any_bytes_gives_the_same_frames_and_the_same_error(data: bytes, places: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> tuple[list[bytes], int | None]:
        buffer, found = FrameBuffer(), []
        try:
            for piece in pieces:
                for payload in feed(buffer, piece):
                    found.append(payload)  # noqa: PERF402  (what came before an error counts)
        except FrameError as error:
            return found, error.length
        return found, None

    assert outcome(cut(data, places)) == outcome([data])


def test_single_bytes_make_one_frame() -> None:
    payload = b'{"method":"isRunning","id":1}'
    assert feed_all(FrameBuffer(), (bytes([byte]) for byte in pack(payload))) == [payload]


def test_a_frame_cut_short_stays_pending() -> None:
    buffer = FrameBuffer()
    assert feed_all(buffer, [pack(b"whole"), header(100), b"0123456789"]) == [b"whole"]
    assert buffer.pending == 14


def test_the_largest_frame_is_taken_with_its_neighbours() -> None:
    large = b"x" * MAX_FRAME
    assert feed_all(FrameBuffer(), [pack(b"a") + pack(large) + pack(b"b")]) == [b"a", large, b"b"]


def test_payloads_of_one_read_stay_valid_until_the_next_buffer_is_asked_for() -> None:
    buffer = FrameBuffer()
    stream = pack(b"one") + pack(b"two") + pack(b"thr")[:-1]
    buffer.get_buffer(-1)[: len(stream)] = stream
    assert [bytes(payload) for payload in list(buffer.received(len(stream)))] == [b"one", b"two"]


def test_the_iterator_may_be_left_and_gone_on_with() -> None:
    buffer = FrameBuffer()
    stream = pack(b"one") + pack(b"two") + pack(b"three") + b"\0\0"
    buffer.get_buffer(-1)[: len(stream)] = stream
    assert bytes(next(iter(buffer.received(len(stream))))) == b"one"
    assert [bytes(payload) for payload in buffer.received(0)] == [b"two", b"three"]
    assert feed_all(buffer, [b"\0\x04four"]) == [b"four"]


def test_unread_frames_survive_a_buffer_asked_for_too_early() -> None:
    buffer = FrameBuffer()
    payloads = [b"%05d" % number + b"." * 995 for number in range(200)]
    stream = b"".join(map(pack, payloads)) + b"\0\0"
    while stream:
        space = buffer.get_buffer(-1)
        assert len(space)
        count = min(len(space), len(stream))
        space[:count] = stream[:count]
        stream = stream[count:]
        buffer.received(count)
    assert [bytes(payload) for payload in buffer.received(0)] == payloads
    assert len(buffer.get_buffer(-1)) == INITIAL_BUFFER - 2
    assert feed_all(buffer, [b"\0\x04last"]) == [b"last"]


# Refusals


@pytest.mark.parametrize("length", [0, MAX_FRAME + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_bad_length_is_reported_behind_the_good_frames(length: int) -> None:
    buffer, seen = FrameBuffer(), []
    stream = pack(b"one") + pack(b"two") + header(length) + b"x" * 1000
    buffer.get_buffer(-1)[: len(stream)] = stream
    payloads = buffer.received(len(stream))
    seen.append(bytes(next(payloads)))
    seen.append(bytes(next(payloads)))
    with pytest.raises(FrameError, match=rf"\b{length}\b.*\b{MAX_FRAME}\b") as caught:
        next(payloads)
    assert seen == [b"one", b"two"]
    assert caught.value.length == length


def test_a_bad_length_is_reported_as_soon_as_the_header_is_there() -> None:
    buffer = FrameBuffer()
    assert feed_all(buffer, [header(MAX_FRAME + 1)[:3]]) == []
    with pytest.raises(FrameError):
        feed_all(buffer, [header(MAX_FRAME + 1)[3:]])


def test_behind_a_bad_length_nothing_is_read_and_memory_stays_small() -> None:
    buffer = FrameBuffer()
    with pytest.raises(FrameError):
        feed_all(buffer, [header(0)])
    for _ in range(10):
        space = buffer.get_buffer(-1)
        assert 0 < len(space) <= INITIAL_BUFFER
        with pytest.raises(FrameError):
            list(buffer.received(len(space)))


# Memory


@pytest.fixture
def allocations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes in bytes of the buffers taken so far."""
    sizes: list[int] = []
    allocate = frames._allocate

    def note(size: int) -> memoryview:
        sizes.append(size)
        return allocate(size)

    monkeypatch.setattr(frames, "_allocate", note)
    return sizes


def test_no_memory_before_the_first_read(allocations: list[int]) -> None:
    buffer = FrameBuffer()
    assert allocations == []
    assert len(buffer.get_buffer(-1)) == INITIAL_BUFFER
    assert allocations == [INITIAL_BUFFER]


def test_a_header_alone_makes_nothing_grow(allocations: list[int]) -> None:
    buffer = FrameBuffer()
    feed_all(buffer, [header(MAX_FRAME) + b"x" * 1000])
    assert len(buffer.get_buffer(-1)) == INITIAL_BUFFER - 1004
    assert allocations == [INITIAL_BUFFER]


def test_growth_follows_what_has_arrived_and_stays_linear(allocations: list[int]) -> None:
    buffer, arrived = FrameBuffer(), 0
    stream = pack(bytes(MAX_FRAME))
    for start in range(0, len(stream), 30_000):
        piece = stream[start : start + 30_000]
        feed_all(buffer, [piece])
        arrived += len(piece)
        assert max(allocations) <= max(INITIAL_BUFFER, 2 * arrived)
    assert max(allocations) <= MAX_FRAME + 4
    assert sum(allocations) < 3 * MAX_FRAME  # every byte was copied about once, whatever the number of reads


def test_memory_is_given_back_after_a_large_frame_even_if_no_other_comes(allocations: list[int]) -> None:
    buffer = FrameBuffer()
    stream = pack(bytes(5 * INITIAL_BUFFER))
    feed_all(buffer, [stream[:-1]])
    memory = weakref.ref(buffer.get_buffer(-1).obj)
    assert memory() is not None
    feed_all(buffer, [stream[-1:]])
    assert memory() is None
    assert len(buffer.get_buffer(-1)) == INITIAL_BUFFER
    assert allocations[-1] == INITIAL_BUFFER


def test_memory_is_given_back_when_the_next_frame_has_begun(allocations: list[int]) -> None:
    buffer = FrameBuffer()
    large, after = bytes(3 * INITIAL_BUFFER - 100), pack(b"x" * 5000)
    assert feed_all(buffer, [pack(large)[:-1], pack(large)[-1:] + after[:50]]) == [large]
    assert len(buffer.get_buffer(-1)) == INITIAL_BUFFER - 50
    assert allocations[-1] == INITIAL_BUFFER
    assert feed_all(buffer, [after[50:]]) == [after[4:]]


def test_small_frames_use_one_buffer_for_ever(allocations: list[int]) -> None:
    buffer = FrameBuffer()
    stream = pack(b"x" * 36) * 20_000
    assert feed_all(buffer, [stream]) == [b"x" * 36] * 20_000
    assert allocations == [INITIAL_BUFFER]


def test_a_held_payload_does_not_stop_the_buffer_from_growing() -> None:
    buffer = FrameBuffer()
    stream = pack(b"held")
    buffer.get_buffer(-1)[: len(stream)] = stream
    held = list(buffer.received(len(stream)))
    assert feed_all(buffer, [pack(bytes(2 * INITIAL_BUFFER))]) == [bytes(2 * INITIAL_BUFFER)]
    assert len(held[0]) == 4
