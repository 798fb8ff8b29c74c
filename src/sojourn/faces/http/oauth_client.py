"""Which client sends an OAuth request: by an assertion in the form, or by its own bound token.

The one place where clients are authenticated at the OAuth endpoints.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from sojourn.core.change import Change
from sojourn.core.client import Client
from sojourn.core.errors import Refused, Unauthenticated
from sojourn.faces.http.callers import client_of, holder
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.oauth_form import Form
from sojourn.faces.http.peer import presented
from sojourn.faces.http.tls_client import by_certificate, named_id
from sojourn.ports.attestor import Attestation, Evidence

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
METHOD: Final = "private_key_jwt"
CERTIFICATE: Final = "mtls"


def asserted(form: Form) -> Evidence | None:
    """The client's assertion, if the form has one.

    Raises:
        Unauthenticated: code `bad_evidence`; half of one.
    """
    kind, assertion = form.get("client_assertion_type"), form.get("client_assertion")
    if kind is None and assertion is None:
        return None
    if kind != ASSERTION_TYPE or assertion is None:
        raise Unauthenticated("bad_evidence", "expected a client assertion (RFC 7523)")
    return Evidence(METHOD, assertion)


def certified(request: Request, form: Form) -> Evidence | None:
    """The certificate that TLS has shown for the client that the form names, if it showed one.

    Raises:
        Invalid: code `invalid_request`; nobody is named.
    """
    shown = presented(request, desk_of(request).peers)
    if shown is None:
        return None
    return Evidence(CERTIFICATE, "", named_id(form.need("client_id")), shown.der, shown.chain)


async def recognise(request: Request, form: Form) -> Attestation:
    """The client that asserts itself, or whose certificate TLS has shown (RFC 8705).

    An assertion is not yet counted as used.

    Raises:
        Unauthenticated: no assertion or certificate, or not one of a registered client made for us.
    """
    evidence, desk = asserted(form), desk_of(request)
    if evidence is None and presented(request, desk.peers) is not None:
        return Attestation(await by_certificate(desk, form.get("client_id"), holder(request)))
    if evidence is None:
        raise Unauthenticated("bad_evidence", "expected a client assertion (RFC 7523)")
    attestation = await desk.attestors[METHOD].attest(evidence, desk.clock.now())
    if form.get("client_id") not in (None, attestation.client.id):
        raise Unauthenticated("bad_evidence", "assertion and `client_id` are not of one client")
    return attestation


async def who_asks(request: Request, form: Form) -> Client:
    """The client that asks about a token: by its own token and proof, or by an assertion, used up here.

    Raises:
        Unauthenticated: neither holds.
    """
    if "authorization" in request.headers:
        return (await client_of(request))[0]
    attestation = await recognise(request, form)
    if not attestation.once:
        return attestation.client
    try:
        await desk_of(request).store.commit(Change(once=attestation.once))
    except Refused as error:
        raise Unauthenticated("bad_evidence", "the assertion was used before") from error
    return attestation.client
