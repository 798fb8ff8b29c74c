"""Session governance for machines: access bound to one task that provably ends with it.

`sojourn.open` is for programs that hold a session themselves; it is loaded when first asked for.
"""

from __future__ import annotations


def __getattr__(name: str) -> object:
    if name != "open":
        raise AttributeError(f"module `sojourn` has no attribute `{name}`")
    from sojourn.client.aio import open as open_session

    return open_session
