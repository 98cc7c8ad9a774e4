"""A daemon in a network of its own, with a web server that programs in the sandbox may or may not reach."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import needs
from tests.support.daemon import Place, RunningDaemon
from tests.support.ordinary import ordinary_user

SUPPORT = Path(__file__).resolve().parent
ADDRESS = "93.184.215.14"
"""Public, so that it may be reached; inside the private network it is on the loopback interface."""
PRIVATE = "10.11.12.13"
NAMES = ("web.example.test", "other.example.test", "deep.sub.example.test", "evil.test")
INTERNAL = "internal.example.test"
"""A name of a private address."""


@contextmanager
def private_daemon() -> Iterator[RunningDaemon]:
    """A running daemon of an ordinary user with the bubblewrap backend in a private network. Needs root."""
    if os.geteuid() != 0:
        needs.missing("needs root for a network of its own")
    needs.programs(ip="iproute2", openssl="openssl", curl="curl", git="git", npm="npm", node="nodejs")
    with ordinary_user() as user:
        place = Place()
        daemon = RunningDaemon(place)
        daemon.backend = "bwrap"
        folder = place.root / "net"
        _make(folder)
    wrapper = [
        "unshare", "--net", "--mount", "sh", str(SUPPORT / "private_network.sh"), str(user.pw_uid), str(user.pw_gid),
        str(folder), "/usr/bin/python3",
    ]  # fmt: skip
    try:
        daemon.start(wrapper=wrapper)
        with ordinary_user():
            yield daemon
        assert daemon.stop() == 0
        daemon.check()
    finally:
        place.remove()


def _make(folder: Path) -> None:
    www = folder / "www"
    www.mkdir(parents=True)
    hosts = "".join(f"{ADDRESS} {name}\n" for name in NAMES)
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}{PRIVATE} {INTERNAL}\n")
    (folder / "addresses").write_text(f"{ADDRESS}/32\n{PRIVATE}/32\n")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=web.example.test", "-addext", "subjectAltName=DNS:*.example.test,DNS:evil.test",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    (www / "cert.pem").write_bytes((folder / "cert.pem").read_bytes())
    _make_wheel(www)
    _make_npm_package(www)
    _make_repository(folder, www)


def _make_wheel(www: Path) -> None:
    index = www / "simple" / "tiny"
    index.mkdir(parents=True)
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(index / name, "w") as wheel:
        info = "tiny-1.0.dist-info"
        wheel.writestr("tiny.py", "WORD = 'from the wheel'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (index / "index.html").write_text(f'<a href="{name}">{name}</a>')


def _make_npm_package(www: Path) -> None:
    folder = www / "tiny-npm"
    folder.mkdir()
    source = www / "package"
    source.mkdir()
    (source / "package.json").write_text(json.dumps({"name": "tiny-npm", "version": "1.0.0"}))
    (source / "index.js").write_text("module.exports = 'from npm';\n")
    archive = folder / "tiny.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "package")
    data = archive.read_bytes()
    dist = {
        "tarball": "http://web.example.test/tiny-npm/tiny.tgz", "shasum": hashlib.sha1(data).hexdigest(),
        "integrity": "sha512-" + b64encode(hashlib.sha512(data).digest()).decode(),
    }  # fmt: skip
    version = {"name": "tiny-npm", "version": "1.0.0", "dist": dist}
    packument = {"name": "tiny-npm", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    (folder / "index.html").write_text(json.dumps(packument))


def _make_repository(folder: Path, www: Path) -> None:
    environment = {
        "PATH": os.defpath, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip

    def git(*args: str | Path, cwd: Path = folder) -> None:
        subprocess.run(["git", *args], cwd=cwd, env=environment, check=True, capture_output=True)

    work = folder / "work"
    git("init", "-q", "-b", "main", work)
    (work / "read.me").write_text("from git\n")
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "one", cwd=work)
    git("clone", "-q", "--bare", work, www / "repo.git")
    git("update-server-info", cwd=www / "repo.git")
