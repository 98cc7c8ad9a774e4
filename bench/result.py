"""What one run of a section yields."""

from __future__ import annotations

from dataclasses import dataclass, field

Figure = float | int | bool | str | None


@dataclass
class Result:
    """Figures by name, the unit being the end of the name, and what was not correct (lost, reordered ...)."""

    figures: dict[str, Figure] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def require(self, holds: bool, fault: str) -> bool:
        """Note `fault` unless `holds`; returns `holds`."""
        if not holds:
            self.faults.append(fault)
        return holds
