"""A verifier that has just heard the feed, and tokens good and forged to show it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc.jwk import ECKey

from sojourn.core.errors import SojournError
from sojourn.core.revocation import Entry, Mark, Page, RevocationView
from sojourn.core.token import to_json
from sojourn.guard.verifier import Call, Rules, Verifier
from sojourn.jose import Es256Key
from tests.guard.world import AUDIENCE, BASE, Workload, claims_for, sign_token

ISSUER = "https://sojourn.example"
URL = BASE + "/stock"
START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ISSUER_KEY = Es256Key.generate()
WORK = Workload()
OTHER = Es256Key.generate()


@dataclass
class Hands:
    """A clock moved by hand."""

    at: float = 1000.0
    off: timedelta = timedelta(0)
    base: datetime = field(default_factory=lambda: datetime.now(UTC))

    def mono(self) -> float:
        return self.at

    def now(self) -> datetime:
        return self.base + timedelta(seconds=self.at - 1000.0) + self.off


class Bench:
    """A verifier that has just heard the feed, and requests to show it."""

    def __init__(self) -> None:
        self.clock = Hands()
        self.view = RevocationView()
        self.verifier = Verifier(Rules(ISSUER, AUDIENCE), self.view, self.clock)
        self.verifier.trust({ISSUER_KEY.thumbprint: ISSUER_KEY.public})
        self.hear()

    def hear(self, *entries: Entry, epoch: int = 1, n: int = 0, snapshot: bool = True) -> None:
        page = Page(Mark(epoch, n), self.clock.now() - self.clock.off, snapshot, entries)
        self.view.apply(page, sent_at=self.clock.mono(), received_at=self.clock.mono())

    def call(self, token: str, proof: str | None = None, **changes: Any) -> Call:
        shown = proof if proof is not None else WORK.proof(token, "GET", URL, now=self.clock.now())
        given: dict[str, Any] = {
            "method": "GET",
            "url": URL,
            "authorization": [f"DPoP {token}"],
            "proofs": [shown],
            "required": frozenset({"stock.read"}),
        }
        return Call(**{**given, **changes})

    def code(self, token: str, proof: str | None = None, **changes: Any) -> str:
        """The code of the refusal, or `ok`."""
        try:
            self.verifier.check(self.call(token, proof, **changes))
        except SojournError as error:
            return error.code
        return "ok"


def token_of(bench: Bench, **changes: Any) -> str:
    at = bench.clock.now()
    life = {"issued_at": at, "expires_at": at + timedelta(seconds=300)}
    return sign_token(ISSUER_KEY, claims_for(WORK, ISSUER, **{**life, **changes}))


def b64(value: object) -> str:
    octets = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def forge(header: object, payload: object, key: Es256Key = ISSUER_KEY) -> str:
    """Anything, truly signed: what is refused is refused for its content."""
    signed = f"{b64(header)}.{b64(payload)}"
    shell = key.sign({}, {})  # only to reach the private key's algorithm
    assert shell.count(".") == 2
    from joserfc.jws import JWSRegistry

    algorithm = JWSRegistry(algorithms=["ES256"]).get_alg("ES256")
    signature = algorithm.sign(signed.encode(), ECKey.import_key(key.secret_pem().reveal()))
    return f"{signed}.{b64(signature)}"


HEADER = {"typ": "at+jwt", "alg": "ES256", "kid": ISSUER_KEY.thumbprint}


def payload(**changes: Any) -> dict[str, object]:
    claims = {**to_json(claims_for(WORK, ISSUER)), **changes}
    return {name: value for name, value in claims.items() if value is not None}
