"""asyncio without TLS: import this before asyncio.

No socket of ours speaks TLS, but asyncio loads OpenSSL wherever it finds it: 8 ms of a start that a client waits
for, and 4 MB in a process that is idle all day. asyncio does without where there is none. What does need TLS (the
API probe) imports ``ssl`` afterwards, as usual.
"""

from __future__ import annotations

import sys


def _import_asyncio_without_ssl() -> None:
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return  # too late to matter
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]


_import_asyncio_without_ssl()
