"""A value that must not be seen: every usual way of showing it shows stars instead."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Holds a secret string; `reveal` is the only way to read it, and easy to search for."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: hand it straight to the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be pickled or copied")
