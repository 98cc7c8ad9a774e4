"""The page of positions: kept by the file, seen by all, with the lowest needed offset as its floor."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.holder.page import ANYBODY, EXIT_TAKEN, FREE, HOLDING, SIZE, SLOTS, Page

WORD = st.integers(0, 2**64 - 1)


def test_a_new_page_is_empty_and_private(tmp_path: Path) -> None:
    page = Page(tmp_path / "p", create=True)
    assert os.stat(tmp_path / "p").st_size == SIZE == 4096
    assert os.stat(tmp_path / "p").st_mode & 0o777 == 0o600
    assert [page.state(slot) for slot in range(SLOTS)] == [FREE] * SLOTS
    assert page.floor() == 0
    page.close()


def test_words_are_where_other_releases_look_for_them(tmp_path: Path) -> None:
    page = Page(tmp_path / "p", create=True)
    page.set_state(3, HOLDING | EXIT_TAKEN)
    page.set_position(3, 1, 11)
    page.set_position(3, 2, 2**63 + 5)
    page.set_spare(3, 99)
    page.close()
    data = (tmp_path / "p").read_bytes()
    assert struct.unpack_from("=4Q", data, 3 * 32) == (3, 11, 2**63 + 5, 99)
    assert data.count(0) == SIZE - 5


def test_positions_are_seen_by_every_mapping_and_survive(tmp_path: Path) -> None:
    writer = Page(tmp_path / "p", create=True)
    reader = Page(tmp_path / "p", writable=False)
    writer.set_position(127, 2, 1234)
    assert reader.position(127, 2) == 1234
    writer.close()
    again = Page(tmp_path / "p", create=True)  # creating what is there empties nothing
    assert (again.position(127, 2), again.spare(127)) == (1234, 0)
    with pytest.raises(TypeError):
        reader.set_position(1, 1, 5)
    again.close()
    reader.close()


def test_a_page_that_is_too_short_is_refused_instead_of_killing_us(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"\0" * (SIZE - 1))
    with pytest.raises(ValueError, match="no page of positions"):
        Page(tmp_path / "p")


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"\0" * SIZE)
    (tmp_path / "p").symlink_to("target")
    with pytest.raises(OSError, match="symbolic links"):
        Page(tmp_path / "p", create=True)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, SLOTS - 1), st.tuples(st.integers(0, 3), WORD, WORD, WORD), max_size=12))
def test_the_floor_is_the_lowest_position_that_anybody_needs(slots: dict[int, tuple[int, int, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = Page(f"{folder}/p", create=True)
    for slot, (state, stdout, stderr, spare) in slots.items():
        page.set_state(slot, state)
        page.set_position(slot, 1, stdout)
        page.set_position(slot, 2, stderr)
        page.set_spare(slot, spare)
    needed = [min(out, err) for slot, (state, out, err, _) in slots.items() if slot != ANYBODY and state & HOLDING]
    _, anybody_out, anybody_err, _ = slots.get(ANYBODY, (0, 0, 0, 0))
    assert page.floor() == min([anybody_out, anybody_err, *needed])
    page.close()
