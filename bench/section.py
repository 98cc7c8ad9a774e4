"""A section of the benchmark: something that is measured on a freshly started daemon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.daemon import Spec
from bench.harness import Harness
from bench.result import Result


@dataclass(frozen=True)
class Section:
    """Its name, how it is measured on a daemon and, where that makes sense, on the floor.

    `ratios` names figures for which the quotient daemon / floor of the same round is reported too, with
    `_us` or the like at the end replaced by `_x_floor`.
    """

    name: str
    measure: Callable[[Harness, Spec], Result]
    floor: Callable[[Harness], Result] | None = None
    ratios: tuple[str, ...] = ()
    limit: float = 180.0
    """Seconds after which a run is given up."""
    own: bool = False
    """Measured on this repository's daemon alone: about parts that are not in the protocol."""

    @property
    def what(self) -> str:
        """First line of what is timed."""
        return (self.measure.__doc__ or "").strip().split("\n")[0]


def ratio_name(figure: str) -> str:
    """one_cpu_p50_us -> one_cpu_p50_x_floor; per_s -> per_s_x_floor."""
    return (figure.removesuffix("_us") if figure.endswith("_us") else figure) + "_x_floor"
