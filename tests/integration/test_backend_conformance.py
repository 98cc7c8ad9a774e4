"""Every backend of ours gives what the conformance suite asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cowork.backends.bwrap.backend import BwrapBackend
from cowork.backends.host import HostBackend
from cowork.testing.backend_conformance import BackendConformance
from tests.support.ordinary import ordinary_user

pytestmark = pytest.mark.integration


class HostConformance(BackendConformance):
    """The host backend, as whoever runs the tests."""

    __test__ = True

    def make_backend(self) -> HostBackend:
        return HostBackend({"HOME": str(self.home)})


@pytest.mark.bwrap
class BwrapConformance(BackendConformance):
    """The bubblewrap backend, as an ordinary user."""

    __test__ = True

    @contextmanager
    def surroundings(self) -> Iterator[Path]:
        with ordinary_user(), super().surroundings() as folder:
            yield folder

    def make_backend(self) -> BwrapBackend:
        return BwrapBackend({"HOME": str(self.home), "PATH": os.environ.get("PATH", os.defpath)})
