"""asyncio comes without TLS where nothing has loaded it before, and TLS can still be had afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("before", "loaded"), [("import cowork.linux.loop, asyncio", False), ("import ssl, cowork.linux.loop", True)]
)
def test_what_is_loaded(before: str, loaded: bool) -> None:
    code = (
        f"{before}\n"
        "import sys, asyncio\n"
        f"assert ('ssl' in sys.modules) is {loaded}, 'ssl'\n"
        "import ssl\n"
        "assert ssl.create_default_context()\n"
        "asyncio.run(asyncio.sleep(0))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
