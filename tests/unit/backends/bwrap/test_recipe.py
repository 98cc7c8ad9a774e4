"""Options and the descriptors that they speak of."""

from __future__ import annotations

import os

import pytest

from cowork.backends.bwrap.recipe import Recipe
from cowork.holder.sandbox import FREE
from cowork.holder.spec import Cover, Folder, Listen, Sandbox


def test_options_stay_in_their_order() -> None:
    recipe = Recipe("/usr/bin/bwrap", frozenset())
    recipe.add("--a", "1")
    recipe.add("--b")
    recipe.add()
    assert recipe.sandbox() == Sandbox(program="/usr/bin/bwrap", options=["--a", "1", "--b"])


def test_what_this_release_does_not_know_is_left_out() -> None:
    recipe = Recipe("/b", {"--new"})
    assert recipe.add_known("--new", "x")
    assert not recipe.add_known("--newer", "x")
    assert recipe.options == ["--new", "x"]


def test_every_descriptor_has_a_number_of_its_own() -> None:
    recipe = Recipe("/b", frozenset())
    assert recipe.content(b"one") == str(FREE)
    recipe.bind("/src", "/dst")
    recipe.file("/place", b"two")
    made = recipe.sandbox()
    assert made.files == {FREE: "one", FREE + 2: "two"}
    assert made.folders == [Folder(FREE + 1, "/src", "/dst")]
    recipe.file_over("/theirs", b"three")
    assert recipe.options == [
        "--ro-bind", "/src", "/dst", "--perms", "0444", "--file", str(FREE + 2), "/place",
        "--ro-bind-data", str(FREE + 3), "/theirs",
    ]  # fmt: skip


def test_content_of_any_bytes() -> None:
    recipe = Recipe("/b", frozenset())
    recipe.content(bytes(range(256)))
    assert recipe.sandbox().files[FREE].encode("latin-1") == bytes(range(256))


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_folder_is_handed_over_where_this_release_takes_it(writable: bool, known: bool) -> None:
    """By its name otherwise; in either case the holder has it open and compares."""
    option = "--bind" if writable else "--ro-bind"
    recipe = Recipe("/b", {f"{option}-fd"} if known else frozenset())
    recipe.bind("/src", "/dst", writable=writable)
    assert recipe.options == ([f"{option}-fd", str(FREE), "/dst"] if known else [option, "/src", "/dst"])
    assert recipe.sandbox().folders == [Folder(FREE, "/src", "/dst")]


def test_writable_is_never_the_default() -> None:
    recipe = Recipe("/b", {"--bind-fd", "--ro-bind-fd"})
    recipe.bind("/src", "/dst")
    assert recipe.options[0] == "--ro-bind-fd"


def test_placeholders() -> None:
    recipe = Recipe("/b", frozenset())
    recipe.cover("/home/u/p", ".git", None)
    recipe.cover("/home/u/p", ".mcp.json", b"{}\n")
    assert recipe.sandbox().covers == [Cover("/home/u/p", ".git", None), Cover("/home/u/p", ".mcp.json", "{}\n")]
    assert recipe.options == []


def test_the_network() -> None:
    recipe = Recipe("/b", frozenset())
    recipe.listen = [Listen("dns", "udp", "127.0.0.1", 53)]
    recipe.proxy = {"rules": []}
    made = recipe.sandbox()
    assert (made.listen, made.proxy) == (recipe.listen, recipe.proxy)


def test_names_that_are_not_utf8() -> None:
    recipe = Recipe("/b", frozenset())
    recipe.bind(os.fsdecode(b"/\xff"), "/x")
    assert os.fsencode(recipe.options[1]) == b"/\xff"
