"""Posts to hooks, under the bounds of `outbound`: never into a network of ours, unless allowed."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from sojourn.adapters.outbound import PUBLIC, Ask, fetch
from sojourn.core.errors import Unavailable
from sojourn.ports.issuers import Reach


class HookSender:
    """Knows which hosts the server's file lets it reach besides public ones."""

    def __init__(self, hosts: Mapping[str, Reach]) -> None:
        self._hosts = hosts

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer to one POST.

        Raises:
            Unavailable: code `unreachable_hook`.
        """
        reach = self._hosts.get(urlsplit(url).hostname or "", PUBLIC)
        try:
            return (await fetch(Ask(url, reach, "POST", headers, body))).status
        except Unavailable as error:
            raise Unavailable("unreachable_hook", error.message) from error
