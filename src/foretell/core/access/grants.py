"""What those may do who are known by a name alone, as callers with a certificate are. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from foretell.core.access.scopes import SCOPES, Scope, unknown_scopes


def canonical(name: str) -> str:
    """The form in which names are compared: host names, mail addresses and common names are the same in any case, URIs
    are not."""
    return name if ":" in name else name.lower()


@dataclass(frozen=True, slots=True)
class Grants:
    """``everybody``'s scopes, and those of ``named`` ones, which stand in place of everybody's."""

    everybody: frozenset[Scope]
    named: Mapping[str, frozenset[Scope]]

    @classmethod
    def parse(cls, entries: Sequence[str]) -> Grants:
        """Reads ``predict``, ``models:read``, ``ops.example.com=admin``. Raises ValueError, which says what is taken.

        A name may hold ``=`` itself: the last one counts. A name with nothing behind it is granted nothing.
        """
        everybody: list[str] = []
        named: dict[str, frozenset[Scope]] = {}
        for entry in entries:
            name, sign, scopes = entry.rpartition("=")
            name = canonical(name.strip())
            if not sign:
                everybody += _scopes(entry)
            elif not name:
                raise ValueError(f"{entry[:64]!r} has no name before the = sign")
            elif name in named:
                raise ValueError(f"{name[:64]!r} stands there twice; write NAME=SCOPE+SCOPE")
            else:
                named[name] = frozenset(cast("list[Scope]", _scopes(scopes)))
        return cls(frozenset(cast("list[Scope]", everybody)), named)

    def of(self, name: str) -> frozenset[Scope]:
        """What ``name`` may do."""
        return self.named.get(canonical(name), self.everybody)


def _scopes(text: str) -> list[str]:
    scopes = [scope.strip() for scope in text.split("+") if scope.strip()]
    if unknown := unknown_scopes(scopes):
        raise ValueError(f"{unknown[0][:64]!r} is no scope: there are {', '.join(SCOPES)}")
    return scopes
