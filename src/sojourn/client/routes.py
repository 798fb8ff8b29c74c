"""Which guarded API a host name in the child's request stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sojourn.client.jsonfacts import members, text
from sojourn.client.transport import check_issuer
from sojourn.client.views import SessionView
from sojourn.core.errors import NotFound


@dataclass(frozen=True, slots=True)
class Route:
    """An audience and the address at which it is served; without an audience, our own egress."""

    audience: str
    base: str

    @property
    def forwarded(self) -> bool:
        """Whether requests go through the control plane, which adds a key of its own."""
        return not self.audience


def egress_for(host: str, session: SessionView, forwarded: Mapping[str, str], issuer: str) -> Route | None:
    """The route through the control plane, if `host` names a grant of `forwarded` or the API behind it."""
    wanted = host.lower()
    for grant, base_url in forwarded.items():
        if wanted in (grant.lower(), urlsplit(base_url).netloc.lower()):
            return Route("", f"{issuer.rstrip('/')}/egress/{session.id}/{grant}")
    return None


def route_for(host: str, session: SessionView, addresses: Mapping[str, str]) -> Route:
    """The route for `host`: the name of a grant, an audience, or the audience's own host.

    `addresses` says where audiences are that are not addresses themselves.

    Raises:
        NotFound: code `no_such_api`.
        Invalid: code `bad_issuer`; the way would be in the clear.
    """
    wanted = host.lower()
    for grant in members(session.raw, "grants"):
        if "audience" not in grant:
            continue
        name, audience = text(grant, "name"), text(grant, "audience")
        base = addresses.get(audience) or addresses.get(name) or audience
        hosts = {urlsplit(place).netloc.lower() for place in (audience, base)} - {""}
        if wanted in {name.lower(), audience.lower()} | hosts and "://" in base:
            check_issuer(base)
            return Route(audience, base)
    raise NotFound(
        "no_such_api", f"no grant of this session leads to `{host[:80]}`; give its address with `--api`"
    )
