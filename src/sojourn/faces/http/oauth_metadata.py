"""What this server offers, for programs that read it: RFC 8414, RFC 9728, the keys, and our own page.

No member is an empty array, and `issuer` is the deployment's, byte for byte.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from sojourn.core.errors import NotFound
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.callers import SCOPES
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.oauth import GRANTS
from sojourn.faces.http.oauth_client import METHOD
from sojourn.faces.http.oauth_form import DETAILS_TYPE
from sojourn.faces.http.tls_client import METHODS


async def keys(request: Request) -> Response:
    """The public keys of everything we sign as a JWT (RFC 7517): next, active and verify-only."""
    return views.reply({"keys": [dict(key) for key in desk_of(request).keys.published()]})


async def metadata(request: Request) -> Response:
    """What this authorization server offers (RFC 8414)."""
    issuer = desk_of(request).settings.issuer
    return views.reply(authorization_server(issuer))


async def metadata_of_path(request: Request, rest: str) -> Response:
    """The same, where the issuer's path is asked for after the well-known one (RFC 8414, section 3.1)."""
    if urlsplit(desk_of(request).settings.issuer).path.strip("/") != rest or not rest:
        raise NotFound("not_found", "there is no such path")
    return await metadata(request)


async def openid(request: Request) -> Response:
    """The same, at the place where OpenID clients look; no ID token is ever issued here."""
    return await metadata(request)


async def openid_of_path(request: Request, rest: str) -> Response:
    """The same, at that place and with the issuer's path."""
    return await metadata_of_path(request, rest)


def authorization_server(issuer: str) -> dict[str, object]:
    """The document of RFC 8414."""
    base = issuer.rstrip("/")
    callers = {
        f"{place}_auth_{what}": value
        for place in ("token_endpoint", "introspection_endpoint", "revocation_endpoint")
        for what, value in (
            ("methods_supported", [METHOD, *METHODS]),
            ("signing_alg_values_supported", ["ES256"]),
        )
    }
    return {
        "issuer": issuer,
        "token_endpoint": f"{base}/oauth2/token",
        "introspection_endpoint": f"{base}/oauth2/introspect",
        "revocation_endpoint": f"{base}/oauth2/revoke",
        "jwks_uri": f"{base}/oauth2/jwks",
        "grant_types_supported": list(GRANTS),
        # Required, and there is no authorization endpoint: the registered value that asks for nothing.
        "response_types_supported": ["none"],
        "scopes_supported": sorted(SCOPES.values()),
        **callers,
        "tls_client_certificate_bound_access_tokens": True,
        "introspection_signing_alg_values_supported": ["ES256"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "authorization_details_types_supported": [DETAILS_TYPE],
        "status_list_aggregation_endpoint": f"{base}/oauth2/status",
        "protected_resources": [issuer],
    }


async def protected_resource(request: Request) -> Response:
    """What our own API expects of its callers (RFC 9728)."""
    issuer = desk_of(request).settings.issuer
    return views.reply(
        {
            "resource": issuer,
            "authorization_servers": [issuer],
            "scopes_supported": sorted(SCOPES.values()),
            "bearer_methods_supported": ["header"],
            "dpop_bound_access_tokens_required": True,
            "dpop_signing_alg_values_supported": ["ES256"],
        }
    )


async def deployment(request: Request) -> Response:
    """What guards, verifiers and the command need to know of this deployment."""
    desk = desk_of(request)
    feed = {
        "period_s": desk.settings.feed_period.total_seconds(),
        "deaf_after_s": desk.settings.deaf_after.total_seconds(),
    }
    return views.reply(
        {
            "issuer": desk.settings.issuer,
            "log_vkey": desk.notes.vkey,
            "log_vkeys": list(desk.notes.vkeys),
            "log_origin": desk.notes.name,
            "feed": feed,
            "server_time": show(desk.clock.now()),
        }
    )
