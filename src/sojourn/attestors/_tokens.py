"""What the attestors of signed tokens share: client, signature, rule, facts, in that order.

The issuer is the one that the client's rule names. Nothing a token says of itself leads to a
request, and nothing is read from it before its signature has been verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sojourn.attestors._claims import ClaimTable, Reading, read
from sojourn.core.change import Once
from sojourn.core.client import Client, Role
from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.federation import AUDIENCE, ISSUER, Shape, matches
from sojourn.core.ids import CLIENT, ClientId, to_uuid
from sojourn.core.window import from_micros
from sojourn.ports.attestor import Evidence
from sojourn.ports.foreign_tokens import ForeignTokens
from sojourn.ports.store import Store

GRACE: Final = timedelta(seconds=30)
"""How much longer than a token's own life its mark is kept: clocks differ."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A client, the claims of its verified token, and the facts among them."""

    client: Client
    claims: Mapping[str, object]
    reading: Reading

    def text(self, name: str) -> str:
        """The fact `name`, which the table requires."""
        return self.reading.facts[name]

    def once(self, kind: str) -> Once:
        """The mark that makes a token with a `jti` serve once.

        Raises:
            Unauthenticated: code `bad_evidence`; it has none.
        """
        return mark_of(self.claims, kind, self.client.rule[ISSUER])


def mark_of(claims: Mapping[str, object], kind: str, whose: str) -> Once:
    """The mark that makes a token of `whose` with a `jti` serve once.

    Raises:
        Unauthenticated: code `bad_evidence`; it has none.
    """
    jti, expires = claims.get("jti"), claims["exp"]
    if not isinstance(jti, str) or not 0 < len(jti) <= 128 or not isinstance(expires, int | float):
        raise Unauthenticated("bad_evidence", "claim `jti` is missing, empty or too long")
    return Once(kind, f"{whose} {jti}", from_micros(int(expires * 1_000_000)) + GRACE)


async def client_of(store: Store, evidence: Evidence, *, attestor: str | None = None) -> Client:
    """The workload client that `evidence` stands for, which has a rule of that attestor.

    Raises:
        Unauthenticated: code `bad_evidence`, the same words for every reason.
    """
    client = await named(store, evidence.client)
    if (
        client is None
        or client.removed_at is not None
        or client.role is not Role.WORKLOAD
        or client.attestor != (attestor or evidence.type)
    ):
        raise no_client()
    return client


def no_client() -> Unauthenticated:
    """Who cannot show a token of the right issuer does not learn which clients there are."""
    return Unauthenticated("bad_evidence", "the evidence stands for no client that takes it")


@contextmanager
def telling_nothing() -> Iterator[None]:
    """A signature that does not verify reads like a client that does not exist."""
    try:
        yield
    except Unauthenticated as error:
        if error.code in ("bad_token", "unknown_kid"):
            raise no_client() from error
        raise


async def named(store: Store, name: str) -> Client | None:
    """The client of that name or id."""
    try:
        to_uuid(CLIENT, name)
    except Invalid:
        return await store.client_named(name[:64]) if name else None
    return await store.client(ClientId(name))


async def recognise(
    store: Store, tokens: ForeignTokens, evidence: Evidence, now: datetime, *, kind: Kind
) -> Recognised:
    """Verify a token by its client's rule.

    Raises:
        Unauthenticated: code `bad_evidence`, or what the signature's check says.
        Unavailable: the issuer's keys cannot be had now.
    """
    client = await client_of(store, evidence)
    with telling_nothing():
        claims = await tokens.verify(
            evidence.assertion,
            issuer=client.rule[ISSUER],
            audience=client.rule[AUDIENCE],
            algorithms=kind.algorithms,
            now=now,
        )
    require_sole_audience(claims, client.rule[AUDIENCE])
    reading = read(kind.table, claims)
    require_match(kind.shape, client, reading)
    return Recognised(client, claims, reading)


def require_sole_audience(claims: Mapping[str, object], audience: str) -> None:
    """Refuse a token that others take as well: whoever receives it there could use it here."""
    if claims.get("aud") not in (audience, [audience]):
        raise Unauthenticated("bad_evidence", "claim `aud` must name this server and nobody else")


def require_match(shape: Shape, client: Client, reading: Reading) -> None:
    """Refuse facts that the client's rule does not spell.

    Raises:
        Unauthenticated: code `bad_evidence`, naming the claim.
    """
    unlike = matches(shape, client.rule, reading.facts)
    if unlike is not None:
        raise Unauthenticated("bad_evidence", f"`{unlike}` is not what the client's rule allows")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of token: its claims, its rules, and the algorithms its issuers use."""

    table: ClaimTable
    shape: Shape
    algorithms: tuple[str, ...]
