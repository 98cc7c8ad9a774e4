"""Limits of this process. Source: getrlimit(2)."""

from __future__ import annotations

import resource

ENOUGH = 65536
"""Descriptors: more than any number of clients and sessions on one desktop."""


def raise_descriptors() -> int:
    """Raise the number of descriptors this process may open, as far as that is allowed; returns what it was before.

    What is started from here must be given the old number back: programs that use select(2) break above 1024.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if wanted > soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft
