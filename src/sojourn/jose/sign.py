"""What clients sign: proofs for requests, and assertions of who they are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sojourn.core import proof
from sojourn.core.window import to_micros
from sojourn.jose.keys import Es256Key
from sojourn.jose.verify import ASSERTION_TYPE

ASSERTION_LIFE: Final = timedelta(seconds=60)


def sign_proof(
    key: Es256Key,
    method: str,
    url: str,
    now: datetime,
    *,
    jti: str,
    ath: str | None = None,
    nonce: str | None = None,
) -> str:
    """A DPoP proof for one request; `ath` is the hash of the token sent with it."""
    claims: dict[str, object] = {"jti": jti, "htm": method, "htu": url, "iat": to_micros(now) // 1_000_000}
    if ath is not None:
        claims["ath"] = ath
    if nonce is not None:
        claims["nonce"] = nonce
    return key.sign({"typ": proof.TYPE, "jwk": dict(key.jwk)}, claims)


def sign_client_assertion(key: Es256Key, client_id: str, issuer: str, now: datetime, *, jti: str) -> str:
    """A `private_key_jwt` for the control plane at `issuer`; good once."""
    issued_at = to_micros(now) // 1_000_000
    claims: dict[str, object] = {
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "iat": issued_at,
        "exp": issued_at + int(ASSERTION_LIFE.total_seconds()),
        "jti": jti,
    }
    return key.sign({"typ": ASSERTION_TYPE, "kid": key.thumbprint}, claims)
