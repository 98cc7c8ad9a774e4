"""Limits, in a process of their own: a limit cannot be tried out in the one that runs the tests."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from cowork.linux import limits

CODE = """
import resource
from cowork.linux import limits
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(limits.raise_descriptors(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "after"), [(256, 1024, 1024), (256, 256, 256), (256, limits.ENOUGH * 2, limits.ENOUGH)]
)
def test_the_soft_limit_is_raised_as_far_as_allowed(soft: int, hard: int, after: int) -> None:
    if hard > resource.getrlimit(resource.RLIMIT_NOFILE)[1] != resource.RLIM_INFINITY:
        pytest.skip("the hard limit here is lower than what is to be tried")
    code = CODE.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(soft), str(after), str(hard)]
