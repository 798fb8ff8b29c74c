"""What a session may ask of the API: methods and paths, judged on what the API will see.

A path has one spelling here: no empty segment, no dots, no escape of what needs none, no
escape that would hide a slash. Whatever has two readings is refused, not interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.core.errors import Invalid, Refused

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MEMBERS: Final = frozenset({"methods", "paths"})
_MOST_PATHS: Final = 64
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~!$&'()+,=:@-]+")
_ESCAPED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNESCAPED_ANYWHERE: Final = re.compile(rb"[A-Za-z0-9._~-]")


@dataclass(frozen=True, slots=True)
class Rules:
    """A grant template: which methods on which paths."""

    methods: frozenset[str]
    paths: tuple[tuple[str, ...], ...]  # by segment; `*` is any one, `**` at the end any rest

    def check(self, method: str, path: str) -> None:
        """Refuse a request that the template does not allow.

        Raises:
            Refused: code `not_allowed_there`.
        """
        if method not in self.methods:
            allowed = " or ".join(sorted(self.methods))
            raise Refused("not_allowed_there", f"expected {allowed}, got `{method}`")
        segments = split(path)
        if not any(_matches(pattern, segments) for pattern in self.paths):
            raise Refused("not_allowed_there", "the grant does not cover this path")


def read_rules(template: Mapping[str, object]) -> Rules:
    """A template as people write it: `methods` and `paths`.

    Raises:
        Invalid: code `bad_template`, naming the member and what was expected.
    """
    if odd := sorted(template.keys() - _MEMBERS):
        raise Invalid("bad_template", f"no member `{odd[0][:40]}`; expected `methods` and `paths`")
    methods, paths = _texts(template, "methods"), _texts(template, "paths")
    if unknown := sorted(set(methods) - set(METHODS)):
        raise Invalid(
            "bad_template", f"`methods`: expected some of {', '.join(METHODS)}, got `{unknown[0][:20]}`"
        )
    return Rules(frozenset(methods), tuple(_pattern(path) for path in paths))


def split(path: str) -> tuple[str, ...]:
    """The segments of a path in its one spelling (RFC 3986, section 3.3).

    Raises:
        Refused: code `ambiguous_path`.
    """
    if not path.startswith("/"):
        raise Refused("ambiguous_path", "a path begins with `/`")
    segments = tuple(path[1:].split("/"))
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment in (".", "..") or (not segment and not last) or not _is_plain(segment):
            raise Refused("ambiguous_path", "the path has a segment that can be read in two ways")
    return segments


def _is_plain(segment: str) -> bool:
    for code in _ESCAPED.findall(segment):
        octet = bytes.fromhex(code)
        if octet in b"/\\%;?#" or octet < b"\x20" or octet == b"\x7f" or _UNESCAPED_ANYWHERE.match(octet):
            return False
    rest = _ESCAPED.sub("", segment)
    return not rest or _PLAIN.fullmatch(rest) is not None


def _matches(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if pattern[-1] == "**":
        head = pattern[:-1]
        return len(segments) >= len(head) and _all_match(head, segments)
    return len(pattern) == len(segments) and _all_match(pattern, segments)


def _all_match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    return all(
        wanted == found or (wanted == "*" and found) for wanted, found in zip(pattern, segments, strict=False)
    )


def _pattern(path: str) -> tuple[str, ...]:
    if not path.startswith("/"):
        raise Invalid("bad_template", f"`paths`: expected a path that begins with `/`, got `{path[:40]}`")
    pattern = tuple(path[1:].split("/"))
    for number, segment in enumerate(pattern):
        if segment == "*" or (segment == "**" and number == len(pattern) - 1):
            continue
        if "*" in segment or segment in (".", "..") or not _is_plain(segment):
            raise Invalid(
                "bad_template", f"`paths`: expected plain segments, `*`, or `**` at the end, in `{path[:60]}`"
            )
    if pattern == ("**",):
        raise Invalid("bad_template", "`paths`: `/**` is everything; name what the task needs")
    return pattern


def _texts(template: Mapping[str, object], member: str) -> list[str]:
    value = template.get(member)
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MOST_PATHS:
        raise Invalid("bad_template", f"`{member}`: expected a list of 1 to {_MOST_PATHS} texts")
    texts = [one for one in value if isinstance(one, str) and one]
    if len(texts) != len(value):
        raise Invalid("bad_template", f"`{member}`: expected a list of texts")
    return texts
