"""``cowork.linux.limits``, in a process of their own: a limit cannot be tried out in the one that runs the tests."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource
from cowork.linux import limits
limits.ENOUGH = 512
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(limits.raise_descriptors(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "after"), [(256, 400, 400), (256, 256, 256), (256, 1024, 512), (600, 1024, 600)]
)
def test_the_soft_limit_is_raised_as_far_as_allowed(soft: int, hard: int, after: int) -> None:
    code = CODE.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(soft), str(after), str(hard)]
