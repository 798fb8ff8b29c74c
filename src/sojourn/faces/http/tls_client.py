"""Clients that authenticate by their certificate (RFC 8705, section 2), by authority or self-signed."""

from __future__ import annotations

from typing import Final

from sojourn.core.client import Client
from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.ids import CLIENT, ClientId, to_uuid
from sojourn.faces.http.callers import Holder, speaks_for
from sojourn.faces.http.desk import Desk

METHODS: Final = ("tls_client_auth", "self_signed_tls_client_auth")


async def by_certificate(desk: Desk, client_id: str | None, held: Holder) -> Client:
    """The client of that id, if the certificate that TLS showed is the one it is registered with.

    Raises:
        Unauthenticated: code `bad_evidence`; an unknown client and a wrong certificate read alike.
    """
    client = await _known(desk, client_id)
    if client is None or held.certificate is None or not speaks_for(held, client, desk):
        raise _nobody()
    return client


def named_id(client_id: str | None) -> ClientId:
    """A `client_id` as OAuth has it: an id, never a name; what is none is nobody's.

    Raises:
        Unauthenticated: code `bad_evidence`.
    """
    try:
        to_uuid(CLIENT, client_id or "")
    except Invalid as error:
        raise _nobody() from error
    return ClientId(client_id or "")


async def _known(desk: Desk, client_id: str | None) -> Client | None:
    client = await desk.store.client(named_id(client_id))
    return None if client is None or client.removed_at is not None else client


def _nobody() -> Unauthenticated:
    return Unauthenticated("bad_evidence", "no assertion, and no certificate that is the client's")
