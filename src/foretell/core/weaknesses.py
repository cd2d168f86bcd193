"""The weakened defaults that are told: a stable code for each, and whether it keeps the server from starting. Pure."""

from __future__ import annotations

from dataclasses import dataclass

REFUSING = frozenset({"SW01", "SW03"})
"""Those that keep the server from starting unless they are accepted by name."""
ACCEPTABLE: tuple[str, ...] = tuple(sorted(REFUSING))


@dataclass(frozen=True, slots=True)
class Weakness:
    """One default that is weakened here.

    ``where`` names the settings that make it so, ``sentence`` says what may come of it, ``fix`` how to mend it.
    """

    code: str
    where: str
    sentence: str
    fix: str

    @property
    def refuses(self) -> bool:
        """Whether the server does not start with it unless its code is accepted."""
        return self.code in REFUSING

    def __str__(self) -> str:
        return f"SECURITY-WEAKENED {self.code} {self.where}: {self.sentence} Fix: {self.fix}"
