"""Mounts that the user adds to the sandbox or takes away from it: one set of rules for the daemon and the doctor.

They come from our ``config.toml`` and from the predecessor's ``claude_desktop_linux_config.json``. What is refused is
left out and told; it never keeps a session from starting. The forms and the deny list are those of the predecessor,
with its holes closed: it took ``/run``, ``$HOME``, ``dst: "/usr"``, and a missing source broke every spawn.
"""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cowork import config, paths
from cowork.config import Refusal
from cowork.errors import CoworkError
from cowork.translate.paths import MAX_PATH, NAME_MAX, has_control, is_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DESKTOP_FILE = "claude_desktop_linux_config.json"
MAX_SIZE = 1024 * 1024
"""Longest settings file of the predecessor that is read, bytes."""
_CRITICAL = frozenset({"/", "/dev", "/proc", "/usr", "/sessions"})
_SYSTEM_DST = (
    "/sessions", "/proc", "/dev", "/sys", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
    "/run",
)  # fmt: skip
_SHOWN = frozenset({"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"})
"""What every sandbox shows read-only."""
_SYSTEM_SRC = {
    "/proc": "the kernel's own files stay out",
    "/dev": "devices stay out",
    "/sys": "the kernel's own files stay out",
    "/run": "the sockets of this computer's services stay out",
    "/var/run": "the sockets of this computer's services stay out",
    "/tmp/.X11-unix": "the display's sockets stay out: whoever reaches them controls the screen",
    "/boot": "the boot loader and the kernel stay out",
    "/root": "root's home stays out",
}
_SECRETS = (".ssh", ".gnupg", ".aws", ".kube", ".config/Claude")
_SECRET = "keys and tokens stay out"
_OWN = "what belongs to cowork or Claude Desktop stays out"
_NAME_FOLDER = "name the folder that is needed, not this one"
_KEYS = ("additionalROBinds", "additionalBinds", "disabledDefaultBinds")


class UserMount(NamedTuple):
    """``src``: real path on the host. ``dst``: place inside, absolute and normalised."""

    src: str
    dst: str


class UserMounts(NamedTuple):
    """What holds and what does not. Each list is in the order of the files; parents need not come first."""

    ro: list[UserMount]
    rw: list[UserMount]
    disabled: list[str]
    refused: list[Refusal]


class DesktopMounts(NamedTuple):
    """The three lists of the predecessor's file, as decoded, and what is wrong with the file itself."""

    ro: Sequence[object]
    rw: Sequence[object]
    disabled: Sequence[object]
    refused: Sequence[Refusal]


class _Refused(Exception):
    def __init__(self, rule: str, fix: str) -> None:
        super().__init__(rule)
        self.rule = rule
        self.fix = fix


def collect(settings: config.Config, environ: Mapping[str, str], home: str) -> UserMounts:
    """The mounts of both files together, ours first, as things are at this moment.

    The predecessor's file is read again only when it has changed; the folders are looked at every time.
    """
    desktop = read_desktop_file(environ)
    ours = settings.sandbox
    base = config.config_home(environ)
    places = paths.resolve(environ)
    private = (base / "Claude", base / "cowork", places.state, places.runtime, places.trees)
    made = validate(
        [*map(_raw, ours.ro), *desktop.ro],
        [*map(_raw, ours.rw), *desktop.rw],
        [*ours.disable, *desktop.disabled],
        home=home,
        allow_home=ours.allow_home,
        private=[str(place) for place in private],
    )
    return made._replace(refused=[*desktop.refused, *made.refused])


def read_desktop_file(environ: Mapping[str, str]) -> DesktopMounts:
    """The lists of ``$XDG_CONFIG_HOME/Claude/claude_desktop_linux_config.json``; never raises for what is in it."""
    file = config.config_home(environ) / "Claude" / DESKTOP_FILE
    seen = config.identity(file)
    # What cannot be looked at is not remembered: a missing file and a link to nothing would be the same.
    return _read(str(file)) if seen is None else _read_once(str(file), seen)


def validate(
    ro: object, rw: object, disabled: object, *, home: str, allow_home: bool = False, private: Sequence[str] = ()
) -> UserMounts:
    """Hold decoded lists against the rules.

    Args:
        ro, rw: lists of ``"/path"`` and ``{"src": "/path", "dst": "/path"}``; anything else is refused.
        disabled: list of the places of default mounts.
        home: the user's home folder; read-write sources have to be below it.
        allow_home: home itself (and what it is in) may be mounted.
        private: further folders that stay out, besides the well-known ones.
    """
    rules = _Rules(home, allow_home=allow_home, private=private)
    refused: list[Refusal] = []
    wanted: list[tuple[str, UserMount, bool]] = []
    places: set[str] = set()
    for name, entries, writable in (("ro", ro, False), ("rw", rw, True)):
        for entry in _elements(name, entries, refused):
            try:
                mount = rules.mount(entry, home=home, writable=writable)
                if mount.dst in places:
                    raise _Refused(f"{mount.dst} is mounted already", "give each mount a dst of its own")
            except _Refused as e:
                refused.append(Refusal(_entry(entry), e.rule, e.fix))
            else:
                places.add(mount.dst)
                wanted.append((_entry(entry), mount, writable))
    kept = _without_impossible(wanted, refused)
    return UserMounts(
        ro=[mount for _, mount, writable in kept if not writable],
        rw=[mount for _, mount, writable in kept if writable],
        disabled=_disabled(disabled, home, refused),
        refused=refused,
    )


class _Rules:
    """The rules for one mount, for one user."""

    def __init__(self, home: str, *, allow_home: bool, private: Sequence[str]) -> None:
        self._homes = {_normal(home), os.path.realpath(home)}
        self._real_home = os.path.realpath(home)
        self._allow_home = allow_home
        self._denied: dict[str, str] = {}
        for place, why in _SYSTEM_SRC.items():
            # Root's home is only kept out where it is not the user's own.
            if place != "/root" or not any(is_below(own, place) for own in self._homes):
                self._deny(place, why)
        for own in self._homes:
            for name in _SECRETS:
                self._deny(_normal(f"{own}/{name}"), _SECRET)
        for place in private:
            self._deny(_normal(place), _OWN)

    def _deny(self, place: str, why: str) -> None:
        for spelling in (place, os.path.realpath(place)):
            self._denied.setdefault(spelling, why)

    def mount(self, entry: object, *, home: str, writable: bool) -> UserMount:
        """What an entry stands for.

        Raises:
            _Refused: a rule is against it.
        """
        src, dst = _spelled(entry)
        written = _path(src, home)
        place = written if dst is None else _path(dst, home, "dst: ")
        real = os.path.realpath(src)  # of what is written: "link/.." is not where the text says
        for spelling in (written, real):
            self._source(spelling, "" if spelling == written else f"leads to {real}: ")
        if writable and (self._real_home == "/" or not is_below(real, self._real_home)):
            raise _Refused("only what is below home may be writable", "list it under ro, or move it below home")
        folder = _is_folder(real)
        _check_place(place, same=dst is None)
        if not folder and dst is not None and os.path.isdir(place):
            raise _Refused(f"dst: a file cannot be mounted over the folder {place}", "let dst name the file")
        return UserMount(real, place)

    def _source(self, spelling: str, link: str) -> None:
        if spelling == "/":
            raise _Refused(f"{link}the whole file system stays out", _NAME_FOLDER)
        for place, why in self._denied.items():
            if is_below(spelling, place):
                raise _Refused(f"{link}{why}", "copy what is needed to a folder of its own and mount that")
        with_home = any(is_below(own, spelling) for own in self._homes)
        if with_home and not self._allow_home:
            what = "home itself" if spelling in self._homes else "what home lies in"
            raise _Refused(f"{link}{what} stays out", f"{_NAME_FOLDER}; or set allow-home in config.toml")
        for place, why in self._denied.items():
            allowed = with_home and any(is_below(place, own) for own in self._homes)
            if is_below(place, spelling) and not allowed:
                raise _Refused(f"{link}contains {place}: {why}", _NAME_FOLDER)


def _spelled(entry: object) -> tuple[str, str | None]:
    match entry:
        case str(path):
            return path, None
        case {"src": str(src), "dst": str(dst)}:
            return src, dst
        case _:
            raise _Refused("neither a path nor {src, dst} of two paths", 'write "/path" or {src, dst}')


def _path(text: str, home: str, what: str = "") -> str:
    """``text`` normalised, if it is an absolute path that can be a file's."""
    if has_control(text):
        raise _Refused(f"{what}has a control character", "rename the file, or leave this out")
    if not text.startswith("/"):
        fix = f"write {home}{text[1:]}" if text == "~" or text.startswith("~/") else "write the whole path"
        raise _Refused(f"{what}has to be absolute", fix)
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:
        raise _Refused(f"{what}is no file name", "correct the spelling") from None
    if len(raw) > MAX_PATH or any(len(element) > NAME_MAX for element in raw.split(b"/")):
        raise _Refused(f"{what}is too long for a file name", "use a shorter path")
    return _normal(text)


def _is_folder(src: str) -> bool:
    try:
        mode = os.stat(src).st_mode
    except FileNotFoundError:
        raise _Refused("does not exist", "make it, or remove the entry") from None
    except OSError as e:
        raise _Refused(f"cannot be looked at: {e.strerror}", "remove the entry") from None
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise _Refused("sockets, FIFOs and devices stay out", "mount a folder or a regular file")
    return stat.S_ISDIR(mode)


def _check_place(dst: str, *, same: bool) -> None:
    for system in _SYSTEM_DST:
        if same and system in _SHOWN and is_below(dst, system):
            raise _Refused("is there already", "remove the entry")
        if is_below(dst, system) or is_below(system, dst):
            raise _Refused(f"dst: {system} is the sandbox's own", "use a dst such as /mnt/name or /opt/name")


def _without_impossible(
    wanted: list[tuple[str, UserMount, bool]], refused: list[Refusal]
) -> list[tuple[str, UserMount, bool]]:
    """Leave out mounts inside of others where the place is missing.

    bwrap would make it in the user's own folder, or fail at every spawn where it may not. The place has to be real:
    a session that can write there could else lead the mount elsewhere by a link.
    """
    held: dict[str, UserMount] = {}
    dropped: set[str] = set()
    for entry, mount, _ in sorted(wanted, key=lambda one: one[1].dst.count("/")):
        parent = next((held[above] for above in _ancestors(mount.dst) if above in held), None)
        if parent is not None:
            point = parent.src + mount.dst[len(parent.dst) :]
            folder = os.path.isdir(mount.src)
            if os.path.realpath(point) != point or not os.path.lexists(point) or os.path.isdir(point) != folder:
                fix = f"make {point} {'a folder' if folder else 'a file'} of its own, or use another dst"
                refused.append(Refusal(entry, f"lies in the mount of {parent.dst}, which has no place for it", fix))
                dropped.add(mount.dst)
                continue
        held[mount.dst] = mount
    return [one for one in wanted if one[1].dst not in dropped]


def _disabled(entries: object, home: str, refused: list[Refusal]) -> list[str]:
    kept: dict[str, None] = {}
    for entry in _elements("disable", entries, refused):
        try:
            if not isinstance(entry, str):
                raise _Refused("no path", 'write "/path"')
            place = _path(entry, home)
            if place in _CRITICAL:
                raise _Refused("critical: no sandbox works without it", "remove the entry")
        except _Refused as e:
            refused.append(Refusal(_entry(entry), e.rule, e.fix))
        else:
            kept[place] = None
    return list(kept)


def _elements(name: str, entries: object, refused: list[Refusal]) -> Iterator[object]:
    if isinstance(entries, list | tuple):
        yield from entries
    else:
        refused.append(Refusal(name, f"a list is needed, not {config.shown(entries)}", 'write ["/path"]'))


def _entry(entry: object) -> str:
    """An entry as it is told: the path alone where it is one."""
    match entry:
        case str():
            return config.shown(entry)[1:-1]
        case {"src": str(src), "dst": str(dst)}:
            return f"{_entry(src)} -> {_entry(dst)}"
        case _:
            return config.shown(entry)


def _raw(entry: str | config.Bind) -> object:
    return entry if isinstance(entry, str) else {"src": entry.src, "dst": entry.dst}


def _normal(path: str) -> str:
    # normpath keeps two slashes at the start, which POSIX lets mean something else and Linux does not.
    return "/" + os.path.normpath(path).lstrip("/")


def _ancestors(path: str) -> Iterator[str]:
    while len(path) > 1:
        path = os.path.dirname(path)
        yield path


@functools.lru_cache(maxsize=4)
def _read_once(file: str, seen: tuple[int, ...]) -> DesktopMounts:
    return _read(file)


def _read(file: str) -> DesktopMounts:
    refused: list[Refusal] = []
    mounts: dict[str, object] = {}
    try:
        data = config.read_own(Path(file), limit=MAX_SIZE)
        if data is not None:
            mounts = _section(msgspec.json.decode(data), file, refused)
    except CoworkError as e:
        refused.append(Refusal(file, e.message, e.hint or "remove it if it is not needed"))
    except (msgspec.MsgspecError, RecursionError) as e:
        refused.append(Refusal(file, f"no JSON: {e}", "correct the file"))
    found: dict[str, tuple[object, ...]] = {}
    for key, value in mounts.items():
        if key in _KEYS:
            found[key] = tuple(_elements(key, value, refused))
        else:
            close = config.nearest(key, list(_KEYS))
            refused.append(Refusal(_entry(key), "unknown key", f"did you mean {close}?" if close else "remove it"))
    ro, rw, disabled = (found.get(key, ()) for key in _KEYS)
    return DesktopMounts(ro, rw, disabled, tuple(refused))


def _section(decoded: object, file: str, refused: list[Refusal]) -> dict[str, object]:
    """``preferences.coworkBwrapMounts`` of the decoded file; what is not there is no mistake."""
    for name, key in ((file, "preferences"), ("preferences", "coworkBwrapMounts")):
        decoded = _object(decoded, name, refused).get(key, {})
    return _object(decoded, "coworkBwrapMounts", refused)


def _object(value: object, name: str, refused: list[Refusal]) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    refused.append(Refusal(name, f"an object is needed, not {config.shown(value)}", "correct the file"))
    return {}
