"""The folder of a working directory's transcripts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.translate.slug import LONGEST, project_slug


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/ana/my_app.v2", "-home-ana-my-app-v2"), ("/a b_c.d~é-ñ", "-a-b-c-d----"), ("/😀", "---"), ("/", "-"),
        ("/x\udcff", "-x-"), ("", ""),
    ],
)  # fmt: skip
def test_slugs(path: str, expected: str) -> None:
    assert project_slug(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/" + "a" * 199, "-" + "a" * 199),
        ("/" + "😀" * 99 + "a", "-" * 199 + "a"),
        # By the rule in JavaScript: h = ((h << 5) - h + unit) | 0, then Math.abs(h).toString(36).
        ("/" + "a" * 200, "-" + "a" * 199 + "-b6ymvl"),
        ("/" + "😀" * 100, "-" * 200 + "-5s12ud"),
        ("/" + "b" * 227, "-" + "b" * 199 + "-kzay5p"),
    ],
)
def test_the_boundary_at_200_units(path: str, expected: str) -> None:
    assert project_slug(path) == expected


@given(st.text(max_size=150))
@settings(derandomize=True, deadline=None, max_examples=300, database=None)
def test_a_slug_is_a_plain_name(path: str) -> None:
    path = path.encode("utf-8", "replace").decode()
    slug = project_slug(path)
    assert re.fullmatch(r"[A-Za-z0-9-]*", slug)
    units = len(path.encode("utf-16-le")) // 2
    if units <= LONGEST:
        assert len(slug) == units
    else:
        assert re.fullmatch(r".{200}-[0-9a-z]{1,7}", slug)
        assert project_slug(path + "-") != project_slug(path + "_")
