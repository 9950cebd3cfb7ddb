"""What installed packages add to archspec, found through entry points.

Reading them takes some milliseconds; a package is imported only when what it adds is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from archspec.diagnostics import ArchspecError


@dataclass(frozen=True, slots=True)
class Plugin:
    """One thing that an installed package adds."""

    point: EntryPoint

    @property
    def origin(self) -> str:
        """The distribution that it comes from, with its version."""
        distribution = self.point.dist
        return f"{distribution.name} {distribution.version}" if distribution else self.point.value

    def load(self) -> Any:
        """The object itself. Raises ArchspecError when importing it fails in any way."""
        try:
            return self.point.load()
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ArchspecError(
                f"the plug-in {self.origin} cannot be loaded: {self.point.value}: "
                f"{type(error).__name__}: {reason}"
            ) from error


@cache
def find(group: str) -> Mapping[str, Plugin]:
    """Everything announced in an entry-point group, by name.

    Raises ArchspecError when two packages claim one name.
    """
    found: dict[str, Plugin] = {}
    for point in sorted(entry_points(group=group)):
        first = found.setdefault(point.name, Plugin(point))
        if first.point != point:
            raise ArchspecError(
                f"{first.origin} and {Plugin(point).origin} both announce `{point.name}` in the "
                f"entry-point group `{group}`; uninstall one of them"
            )
    return found
