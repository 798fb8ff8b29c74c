"""The tables `issuers`, `trust_domains` and `hook_hosts` of the server's file.

[issuers."https://gitlab.example"]
networks = ["10.20.0.0/16"]             # private addresses it may have
ca = "/etc/sojourn/inside.pem"          # whose certificates count
jwks_uri = "https://gitlab.example/oauth/discovery/keys"
api = "https://gitlab.example/api/v4"   # where to ask whether a job still runs
api_token = "/etc/sojourn/gitlab-token" # a 0600 file

[trust_domains."example.org"]
endpoint = "https://spire.example.org:8443/"
profile = "https_spiffe"
endpoint_id = "spiffe://example.org/spire/server"
bundle = "/etc/sojourn/example.org.json"

[hook_hosts."chat.example"]
networks = ["10.30.0.0/16"]             # private addresses it may have
ca = "/etc/sojourn/inside.pem"
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from sojourn.core.errors import Invalid
from sojourn.core.spiffe_id import SpiffeId
from sojourn.ports.issuers import BundleProfile, Federation, IssuerPlace, Reach, TrustDomain

_ISSUER: Final = frozenset({"networks", "ca", "jwks_uri", "api", "api_token"})
_DOMAIN: Final = frozenset({"networks", "ca", "endpoint", "profile", "endpoint_id", "bundle"})
_HOST: Final = frozenset({"networks", "ca"})
Table = Mapping[str, object]


def read_federation(found: Table) -> Federation:
    """The tables out of the file's members; each may be missing.

    Raises:
        Invalid: code `bad_config`, naming the member.
    """
    issuers = {name: _issuer(name, table) for name, table in _tables(found, "issuers", _ISSUER).items()}
    domains = {name: _domain(name, table) for name, table in _tables(found, "trust_domains", _DOMAIN).items()}
    hosts = {name: _reach(table) for name, table in _tables(found, "hook_hosts", _HOST).items()}
    return Federation(issuers, domains, hosts)


def _tables(found: Table, name: str, known: frozenset[str]) -> Mapping[str, Table]:
    tables = found.get(name, {})
    if not isinstance(tables, dict) or not all(isinstance(one, dict) for one in tables.values()):
        raise _bad(f'expected `[{name}."…"]` tables')
    for inside in tables.values():
        if unknown := sorted(inside.keys() - known):
            raise _bad(f"`{name}` has no member `{unknown[0][:40]}`; known: {', '.join(sorted(known))}")
    return cast("Mapping[str, Table]", tables)


def _issuer(name: str, table: Table) -> IssuerPlace:
    _https(name, "an issuer")
    jwks_uri, api = _text(table, "jwks_uri"), _text(table, "api")
    for place in (jwks_uri, api):
        if place is not None:
            _https(place, "`jwks_uri` and `api`")
    return IssuerPlace(
        _reach(table), jwks_uri, None if api is None else api.rstrip("/"), _path(table, "api_token")
    )


def _domain(name: str, table: Table) -> TrustDomain:
    if SpiffeId.parse(f"spiffe://{name}", code="bad_config").path:
        raise _bad("a trust domain has no path")
    endpoint, identity = _text(table, "endpoint"), _text(table, "endpoint_id")
    profile = _text(table, "profile") or BundleProfile.HTTPS_WEB.value
    if profile not in list(BundleProfile):
        raise _bad("`profile` is `https_web` or `https_spiffe`")
    bundle = _path(table, "bundle")
    if endpoint is None and bundle is None:
        raise _bad(f"trust domain `{name}` has neither `endpoint` nor `bundle`")
    if endpoint is not None:
        _https(endpoint, "`endpoint`")
    if profile == BundleProfile.HTTPS_SPIFFE and (identity is None or bundle is None):
        raise _bad("`https_spiffe` needs `endpoint_id` and a `bundle` to begin with")
    if identity is not None:
        SpiffeId.parse(identity, code="bad_config")
    return TrustDomain(name, endpoint, BundleProfile(profile), identity, bundle, _reach(table))


def _reach(table: Table) -> Reach:
    networks = table.get("networks", [])
    if not isinstance(networks, list) or not all(isinstance(one, str) for one in networks):
        raise _bad('`networks` is a list such as `["10.0.0.0/8"]`')
    try:
        read = tuple(str(ipaddress.ip_network(one)) for one in networks)
    except ValueError as error:
        raise _bad(f"`networks`: {error}") from error
    return Reach(read, _path(table, "ca"))


def _https(place: str, what: str) -> None:
    if not place.startswith("https://") or not place.isascii() or not place.isprintable() or " " in place:
        raise _bad(f"{what} must be an https address, got `{place[:80]}`")


def _text(table: Table, name: str) -> str | None:
    value = table.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise _bad(f"expected `{name}` as text")
    return value


def _path(table: Table, name: str) -> Path | None:
    value = _text(table, name)
    return None if value is None else Path(value)


def _bad(message: str) -> Invalid:
    return Invalid("bad_config", message)
