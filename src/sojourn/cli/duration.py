"""Reads `30m`: the one way durations are typed."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sojourn.core.errors import Invalid

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> timedelta:
    """Read a whole number and one of s, m, h, d.

    Raises:
        Invalid: code `usage_duration`.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdecimal()) or not 0 < int(number[:9]) < 10**8:
        raise Invalid(
            "usage_duration", f"expected a duration such as `90s`, `30m` or `2h`, got `{text[:40]}`"
        )
    return timedelta(seconds=int(number) * _UNITS[unit])
