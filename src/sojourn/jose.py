"""Signed tokens, in one place for both sides: ES256 only, compact only, one `typ` for each use.

Bytes from strangers become claims here or are refused with a stable code; no other exception
leaves. Which key may sign what is said by the caller, never by the token: `jku`, `jwk` and
`x5u` are not looked at, except the `jwk` of a DPoP proof, which is what a proof is for.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NoReturn

from cryptography.hazmat.primitives import serialization
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry, serialize_compact

from sojourn.core import proof, token
from sojourn.core.errors import Invalid, SojournError, Unauthenticated
from sojourn.core.secret import Secret
from sojourn.core.token import AccessClaims
from sojourn.core.window import to_micros

ASSERTION_TYPE: Final = "client-authentication+jwt"
ASSERTION_LIFE: Final = timedelta(seconds=60)
LONGEST_ASSERTION: Final = timedelta(seconds=120)
LARGEST: Final = 8192  # characters: more than any token of ours, less than a header limit
_COORDINATE: Final = 43  # base64url characters of 32 octets
_SIGNATURE: Final = 64  # octets of r and s
_KEYS_CACHED: Final = 4096
_REGISTRY: Final = JWSRegistry(algorithms=["ES256"], strict_check_header=False)
_ES256: Final = _REGISTRY.get_alg("ES256")


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A DPoP proof with a good signature; whether it fits the request is for `core.proof`."""

    thumbprint: str
    jwk: Mapping[str, str]
    claims: Mapping[str, object]

    def read(self) -> proof.Proof:
        """Its claims, each there and of its type."""
        return proof.read(self.thumbprint, self.claims)


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A verified `private_key_jwt` (RFC 7523); its `jti` is yet to be spent."""

    client_id: str
    jti: str
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Parts:
    header: Mapping[str, object]
    claims: Mapping[str, object]
    signed: bytes
    signature: bytes


class VerifyKey:
    """A public P-256 key that verifies ES256."""

    __slots__ = ("_key", "jwk", "thumbprint")

    def __init__(self, key: ECKey, jwk: Mapping[str, str]) -> None:
        self._key = key
        self.jwk = jwk
        self.thumbprint = proof.thumbprint_of(jwk)

    @staticmethod
    def from_jwk(jwk: Mapping[str, object]) -> VerifyKey:
        """Read a public key (RFC 7517); other members than the four that matter are ignored.

        Raises:
            Invalid: code `bad_key`; private, of another curve, not on it, or not canonical.
        """
        if "d" in jwk or "k" in jwk:
            raise Invalid("bad_key", "expected a public key, got a private one")
        if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or jwk.get("alg", "ES256") != "ES256":
            raise Invalid("bad_key", "expected an EC key on P-256 for ES256")
        x, y = jwk.get("x"), jwk.get("y")
        if not isinstance(x, str) or not isinstance(y, str) or len(x) != _COORDINATE or len(y) != _COORDINATE:
            raise Invalid("bad_key", "expected coordinates of 32 octets")
        return _public_key(x, y)

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` (r and s, 64 octets) is this key's over `signed`."""
        return len(signature) == _SIGNATURE and bool(_ES256.verify(signed, signature, self._key))


class Es256Key:
    """A private P-256 key. It shows its public half only, unless asked for the secret by name."""

    __slots__ = ("_key", "public")

    def __init__(self, key: ECKey) -> None:
        self._key = key
        shown = key.as_dict(private=False)
        self.public = VerifyKey.from_jwk({name: str(shown[name]) for name in ("kty", "crv", "x", "y")})

    @staticmethod
    def generate() -> Es256Key:
        """A fresh key from the operating system's randomness."""
        return Es256Key(ECKey.generate_key("P-256"))

    @staticmethod
    def from_pem(pem: Secret) -> Es256Key:
        """Read PKCS #8.

        Raises:
            Invalid: code `bad_key`.
        """
        return _private_key(pem.reveal())

    @staticmethod
    def from_jwk(jwk: Mapping[str, str]) -> Es256Key:
        """Read a private JWK.

        Raises:
            Invalid: code `bad_key`.
        """
        return _private_key({name: jwk[name] for name in ("kty", "crv", "x", "y", "d") if name in jwk})

    @property
    def jwk(self) -> Mapping[str, str]:
        """The public key as a JWK."""
        return self.public.jwk

    @property
    def thumbprint(self) -> str:
        """RFC 7638, SHA-256: the key's id everywhere."""
        return self.public.thumbprint

    def secret_jwk(self) -> Secret:
        """The private key as JWK text, for a 0600 file and nothing else."""
        members = self._key.as_dict(private=True)
        return Secret(json.dumps({name: members[name] for name in ("kty", "crv", "x", "y", "d")}))

    def secret_pem(self) -> Secret:
        """The private key as PKCS #8 PEM, for a 0600 file and nothing else."""
        private = self._key.private_key
        if private is None:
            raise Invalid("bad_key", "expected a private key, got a public one")
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Secret(pem.decode())

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A compact JWS; `alg` is ours to set."""
        payload = json.dumps(claims, separators=(",", ":"))
        return serialize_compact({**header, "alg": "ES256"}, payload, self._key, registry=_REGISTRY)

    def __repr__(self) -> str:
        return f"Es256Key({self.thumbprint})"


def verify_access_token(compact: str, keys: Mapping[str, VerifyKey]) -> AccessClaims:
    """Check type, algorithm and signature of an access token by the keys of its issuer (RFC 9068).

    Lifetime, audience and issuer are not judged here.

    Raises:
        Unauthenticated: code `unknown_kid`; no such key, perhaps not yet.
        Unauthenticated: code `bad_token`; anything else.
    """
    parts = _take_apart(compact, "bad_token")
    _check_header(parts.header, token.TYPE, "bad_token")
    kid = parts.header.get("kid")
    if not isinstance(kid, str):
        raise Unauthenticated("bad_token", "header `kid` is missing or not a string")
    key = keys.get(kid)
    if key is None:
        raise Unauthenticated("unknown_kid", "the token is signed by a key that is not known")
    if not key.verifies(parts.signed, parts.signature):
        raise Unauthenticated("bad_token", "the signature does not verify")
    try:
        return token.from_json(parts.claims)
    except SojournError as error:
        raise Unauthenticated("bad_token", error.message) from error


def verify_client_token(compact: str, keys: Mapping[str, VerifyKey]) -> Mapping[str, object]:
    """The claims of a client's token for our own API, signed by one of `keys`; nothing else is judged.

    Raises:
        Unauthenticated: code `bad_token`.
    """
    parts = _take_apart(compact, "bad_token")
    _check_header(parts.header, token.TYPE, "bad_token")
    key = keys.get(str(parts.header.get("kid")))
    if key is None or not key.verifies(parts.signed, parts.signature):
        raise Unauthenticated("bad_token", "the token is not signed by a key of ours")
    return parts.claims


def verify_proof(compact: str) -> VerifiedProof:
    """Check type, algorithm and signature of a DPoP proof by the key it carries (RFC 9449, 4.3).

    Raises:
        Unauthenticated: code `bad_proof`.
    """
    parts = _take_apart(compact, "bad_proof")
    _check_header(parts.header, proof.TYPE, "bad_proof")
    jwk = parts.header.get("jwk")
    if not isinstance(jwk, dict):
        raise Unauthenticated("bad_proof", "header `jwk` is missing or not an object")
    try:
        key = VerifyKey.from_jwk(jwk)
    except Invalid as error:
        raise Unauthenticated("bad_proof", error.message) from error
    if not key.verifies(parts.signed, parts.signature):
        raise Unauthenticated("bad_proof", "the signature does not verify")
    return VerifiedProof(key.thumbprint, key.jwk, parts.claims)


def peek_client(compact: str) -> str:
    """The client an assertion says it is from, unverified: only to look its key up.

    Raises:
        Unauthenticated: code `bad_assertion`.
    """
    subject = _take_apart(compact, "bad_assertion").claims.get("sub")
    if not isinstance(subject, str):
        raise Unauthenticated("bad_assertion", "claim `sub` is missing or not a string")
    return subject


def verify_client_assertion(
    compact: str, key: VerifyKey, issuer: str, *, client_id: str, now: datetime
) -> ClientAssertion:
    """Check a `private_key_jwt` of `client_id`, made for us alone (RFC 7523, RFC 10070).

    Raises:
        Unauthenticated: code `bad_assertion`.
    """
    parts = _take_apart(compact, "bad_assertion")
    if "typ" in parts.header:
        _check_header(parts.header, ASSERTION_TYPE, "bad_assertion")
    _check_header({**parts.header, "typ": ASSERTION_TYPE}, ASSERTION_TYPE, "bad_assertion")
    if not key.verifies(parts.signed, parts.signature):
        raise Unauthenticated("bad_assertion", "the signature does not verify")
    claims = parts.claims
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise Unauthenticated("bad_assertion", "claims `iss` and `sub` must both be the client id")
    if claims.get("aud") != issuer:
        raise Unauthenticated("bad_assertion", "claim `aud` must be the issuer, as its only value")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= proof.MOST_JTI:
        raise Unauthenticated("bad_assertion", "claim `jti` is missing, empty or too long")
    issued_at, expires_at = _whole(claims, "iat"), _whole(claims, "exp")
    _check_life(issued_at, expires_at, to_micros(now) / 1_000_000)
    return ClientAssertion(client_id, jti, issued_at, expires_at)


def sign_proof(
    key: Es256Key, method: str, url: str, now: datetime, *, jti: str, ath: str | None = None
) -> str:
    """A DPoP proof for one request; `ath` is the hash of the token sent with it."""
    claims: dict[str, object] = {"jti": jti, "htm": method, "htu": url, "iat": to_micros(now) // 1_000_000}
    if ath is not None:
        claims["ath"] = ath
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


def read_key_set(document: object) -> Mapping[str, VerifyKey]:
    """The ES256 keys of a JWK set, by `kid`; keys of other kinds are skipped.

    Raises:
        Invalid: code `bad_key`; not a key set, or without a usable key.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise Invalid("bad_key", "expected a JWK set with `keys`")
    found = {jwk["kid"]: jwk for jwk in listed if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str)}
    keys = {kid: VerifyKey.from_jwk(jwk) for kid, jwk in found.items() if jwk.get("kty") == "EC"}
    if not keys:
        raise Invalid("bad_key", "the JWK set holds no ES256 key")
    return keys


def _take_apart(compact: str, code: str) -> _Parts:
    if len(compact) > LARGEST:
        raise Unauthenticated(code, f"longer than {LARGEST} characters")
    segments = compact.split(".")
    if len(segments) != 3 or not compact.isascii():
        raise Unauthenticated(code, "not a signed token in compact form")
    header, payload, signature = segments
    return _Parts(
        _object(_octets(header, code), code),
        _object(_octets(payload, code), code),
        f"{header}.{payload}".encode(),
        _octets(signature, code),
    )


def _check_header(header: Mapping[str, object], expected: str, code: str) -> None:
    typ = header.get("typ")
    # RFC 7515, section 4.1.9: a type without a slash means application/ before it.
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != expected:
        raise Unauthenticated(code, f"header `typ` must be `{expected}`")
    if header.get("alg") != "ES256":
        raise Unauthenticated(code, "header `alg` must be `ES256`")
    if "crit" in header or "b64" in header:
        raise Unauthenticated(code, "headers `crit` and `b64` are not understood")


def _octets(segment: str, code: str) -> bytes:
    try:
        octets = base64.b64decode(segment + "=" * (-len(segment) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated(code, "a part is not base64url") from error
    # Stray final bits and padding would give one token many spellings.
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != segment.encode():
        raise Unauthenticated(code, "a part is not canonical base64url")
    return octets


def _object(octets: bytes, code: str) -> Mapping[str, object]:
    try:
        value = json.loads(octets.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unauthenticated(code, "a part is not JSON, or names a member twice") from error
    if not isinstance(value, dict):
        raise Unauthenticated(code, "a part is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise Unauthenticated("bad_assertion", f"claim `{name}` is missing or not a whole number")
    return value


def _check_life(issued_at: int, expires_at: int, now: float) -> None:
    if issued_at > now + proof.NEWEST.total_seconds():
        raise Unauthenticated("bad_assertion", "claim `iat` lies in the future")
    if not now < expires_at <= now + LONGEST_ASSERTION.total_seconds():
        raise Unauthenticated("bad_assertion", "claim `exp` must lie ahead, by at most 120 s")


@lru_cache(maxsize=_KEYS_CACHED)
def _public_key(x: str, y: str) -> VerifyKey:
    jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    for coordinate in (x, y):
        try:
            _octets(coordinate, "bad_key")
        except (Unauthenticated, UnicodeError) as error:
            raise Invalid("bad_key", "a coordinate is not canonical base64url") from error
    return VerifyKey(_import(jwk), jwk)


def _private_key(value: str | dict[str, str]) -> Es256Key:
    key = _import(value)
    if not key.is_private or key.curve_name != "P-256":
        raise Invalid("bad_key", "expected a private key on P-256")
    return Es256Key(key)


def _import(value: str | dict[str, str]) -> ECKey:
    try:
        return ECKey.import_key(dict(value) if isinstance(value, dict) else value)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        # The library's message may quote the key: it must not travel on.
        raise Invalid("bad_key", "the key cannot be read") from (None if isinstance(value, str) else error)


__all__ = [
    "ClientAssertion",
    "Es256Key",
    "VerifiedProof",
    "VerifyKey",
    "peek_client",
    "read_key_set",
    "sign_client_assertion",
    "sign_proof",
    "verify_access_token",
    "verify_client_assertion",
    "verify_client_token",
    "verify_proof",
]
