"""Putting bubblewrap's options together, with the descriptors that they speak of. Pure: nothing is opened here.

bubblewrap carries its options out from left to right, so what is added later hides what is below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cowork.holder.sandbox import FREE
from cowork.holder.spec import Cover, Folder, Listen, Sandbox

if TYPE_CHECKING:
    from collections.abc import Collection


class Recipe:
    """A sandbox in the making. ``features``: the options that this bubblewrap knows."""

    def __init__(self, program: str, features: Collection[str]) -> None:
        self.options: list[str] = []
        self.covers: list[Cover] = []
        self.listen: list[Listen] = []
        self.proxy: dict[str, object] | None = None
        self._program = program
        self._features = features
        self._files: dict[int, str] = {}
        self._copies: dict[int, str] = {}
        self._folders: list[Folder] = []
        self._next = FREE

    def add(self, *words: str) -> None:
        """Options as they are."""
        self.options += words

    def add_known(self, *words: str) -> bool:
        """Options that only newer releases know; False where this one does not."""
        if words[0] not in self._features:
            return False
        self.add(*words)
        return True

    def content(self, content: bytes) -> str:
        """The number of a descriptor with this content."""
        number = self._number()
        self._files[number] = content.decode("latin-1")
        return str(number)

    def file(self, place: str, content: bytes) -> None:
        """A small file with this content, made in a place of the sandbox's own. No mount, which costs much more."""
        self.add("--perms", "0444", "--file", self.content(content), place)

    def copy(self, source: str, place: str) -> None:
        """A copy of a file of the host's system."""
        number = self._number()
        self._copies[number] = source
        self.add("--perms", "0444", "--file", str(number), place)

    def file_over(self, place: str, content: bytes) -> None:
        """A read-only file with this content, mounted over what is at ``place``, which may be the user's."""
        self.add("--ro-bind-data", self.content(content), place)

    def bind(self, source: str, place: str, *, writable: bool = False) -> None:
        """Show a file or folder of the host. ``source`` has no links; whether it is what is seen at ``place`` is
        looked at before the program runs, so a source that is replaced meanwhile starts nothing."""
        number = self._number()
        self._folders.append(Folder(number, source, place))
        option = "--bind-fd" if writable else "--ro-bind-fd"
        if not self.add_known(option, str(number), place):
            self.add(option.removesuffix("-fd"), source, place)

    def cover(self, root: str, path: str, content: bytes | None) -> None:
        """Have something at ``path`` below the host's folder ``root`` on which can be mounted."""
        self.covers.append(Cover(root, path, None if content is None else content.decode()))

    def sandbox(self) -> Sandbox:
        """All of it, for the holder."""
        return Sandbox(
            program=self._program, options=self.options, files=self._files, copies=self._copies,
            folders=self._folders, covers=self.covers, listen=self.listen, proxy=self.proxy,
        )  # fmt: skip

    def _number(self) -> int:
        self._next += 1
        return self._next - 1
