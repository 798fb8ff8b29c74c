"""Tokens of issuers that are not us: OIDC providers, clusters, SPIFFE trust domains.

The caller says whose keys, which algorithms, which issuer and which audience; the token says
nothing about how it is to be verified. What comes out was read from the very bytes that were signed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.window import to_micros
from sojourn.jose.compact import Parts, take_apart

TOLERANCE: Final = timedelta(seconds=5)  # S: how far an issuer's clock may run ahead of ours
MOST_KEYS: Final = 200  # in one set: a set is read whole at every rotation of its issuer
_RSA_BITS: Final = range(2048, 8193)  # below it is weak (RFC 7518, section 3.3), above it is slow
_RSA_EXPONENT: Final = range(3, 2**32)
_LARGEST_DATE: Final = 253_402_300_799  # the last second of the year 9999
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ED25519: Final = ("EdDSA", "Ed25519")  # one algorithm, renamed by RFC 9864
ALGORITHMS: Final = frozenset((*_RSA, *_CURVES, *_ED25519))
_REGISTRY: Final = JWSRegistry(algorithms=sorted(ALGORITHMS), strict_check_header=False)


class IssuerKey(Protocol):
    """A public key that knows by which algorithms it may be used."""

    @property
    def algorithms(self) -> frozenset[str]: ...

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """An issuer's public key: RSA, P-256, P-384, P-521 or Ed25519."""

    key: RSAKey | ECKey | OKPKey
    algorithms: frozenset[str]

    @staticmethod
    def from_jwk(jwk: Mapping[str, object]) -> ForeignKey:
        """Read one key; a key that names its algorithm serves for that one alone (RFC 8725, 3.1).

        Raises:
            Invalid: code `bad_key`; private, weak, malformed, or of a kind we do not know.
        """
        if any(member in jwk for member in ("d", "k", "p", "q", "oth")):
            raise Invalid("bad_key", "expected a public key, got a private one")
        key, able = _read(jwk)
        named = jwk.get("alg")
        if named is None:
            return ForeignKey(key, able)
        named_as = frozenset(_ED25519 if named in _ED25519 else (str(named),))
        if not named_as <= able:
            raise Invalid("bad_key", "the key's `alg` does not fit its kind")
        return ForeignKey(key, named_as)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's, by an algorithm that is its own."""
        if algorithm not in self.algorithms:
            return False
        model = _REGISTRY.get_alg("Ed25519" if algorithm in _ED25519 else algorithm)
        return bool(model.verify(signed, signature, self.key))


def read_foreign_keys(
    document: object, *, use: str = "sig", purpose: str | None = None
) -> Mapping[str, ForeignKey]:
    """The keys of an issuer's JWK set by `kid`; what cannot be used is left out.

    A key of another `use` is left out; one without `use` counts for `sig` only (SPIFFE demands
    `jwt-svid` by name). With `purpose` only keys that name it (a member of ours). Two keys under
    one `kid` are both left out: which is meant is not ours to guess.

    Raises:
        Invalid: code `bad_key`; not a JWK set, or of more than 200 keys.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise Invalid("bad_key", f"expected a JWK set of at most {MOST_KEYS} keys")
    found: dict[str, ForeignKey] = {}
    twice: set[str] = set()
    for jwk in listed:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if not isinstance(kid, str) or jwk.get("use", "sig") != use:
            continue
        if purpose is not None and jwk.get("purpose") != purpose:
            continue
        if kid in found:
            twice.add(kid)
        try:
            found[kid] = ForeignKey.from_jwk(jwk)
        except Invalid:
            continue
    return {kid: key for kid, key in found.items() if kid not in twice}


def verify_foreign_token(
    compact: str,
    keys: Mapping[str, IssuerKey],
    *,
    issuer: str | None,
    audience: str,
    algorithms: Collection[str],
    now: datetime,
    types: Collection[str] = ("jwt",),
) -> Mapping[str, object]:
    """The claims of another issuer's token, its signature, issuer, audience and lifetime checked.

    `issuer` None is for tokens that need not name one (JWT-SVID): then `keys` alone say whose it is.
    `types` are the header types it may carry, in lower case; carrying none is allowed, being of a
    kind of ours never is.

    Raises:
        Unauthenticated: code `unknown_kid`; no such key, perhaps not yet.
        Unauthenticated: code `wrong_audience`, `expired`, or `bad_token` for anything else.
    """
    parts = take_apart(compact, "bad_token")
    _check_signature(parts, keys, algorithms, types)
    claims = parts.claims
    if issuer is not None and claims.get("iss") != issuer:
        raise Unauthenticated("bad_token", "claim `iss` is not the issuer expected")
    _check_audience(claims, audience)
    _check_lifetime(claims, to_micros(now) / 1_000_000)
    return claims


def _check_signature(
    parts: Parts, keys: Mapping[str, IssuerKey], algorithms: Collection[str], types: Collection[str]
) -> None:
    header = parts.header
    typ = header.get("typ", next(iter(types)))
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in types:
        raise Unauthenticated("bad_token", "header `typ` is of another kind of token")
    if "crit" in header or "b64" in header:
        raise Unauthenticated("bad_token", "headers `crit` and `b64` are not understood")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise Unauthenticated("bad_token", "header `alg` is not one the issuer may use")
    if not isinstance(kid, str):
        raise Unauthenticated("bad_token", "header `kid` is missing or not a string")
    key = keys.get(kid)
    if key is None:
        raise Unauthenticated("unknown_kid", "the token is signed by a key that is not known")
    if not key.verifies(algorithm, parts.signed, parts.signature):
        raise Unauthenticated("bad_token", "the signature does not verify")


def _check_audience(claims: Mapping[str, object], audience: str) -> None:
    named = claims.get("aud")
    # Equality, and membership in a list: never `in` on a string, which would be a substring.
    if named == audience or (isinstance(named, list) and audience in named):
        return
    raise Unauthenticated("wrong_audience", "the token is meant for another audience")


def _check_lifetime(claims: Mapping[str, object], now: float) -> None:
    if now >= _date(claims, "exp"):
        raise Unauthenticated("expired", "the token has expired")
    for name in ("nbf", "iat"):
        if name in claims and _date(claims, name) > now + TOLERANCE.total_seconds():
            raise Unauthenticated("bad_token", f"claim `{name}` lies in the future")


def _date(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_DATE:
        raise Unauthenticated("bad_token", f"claim `{name}` is missing or no date")
    return float(value)


def _read(jwk: Mapping[str, object]) -> tuple[RSAKey | ECKey | OKPKey, frozenset[str]]:
    wanted: dict[str, str | list[str]] = {}
    for member in ("kty", "crv", "x", "y", "n", "e"):
        value = jwk.get(member)
        if isinstance(value, str):
            wanted[member] = value
    try:
        match jwk.get("kty"):
            case "RSA":
                return _rsa(RSAKey.import_key(wanted))
            case "EC":
                elliptic = ECKey.import_key(wanted)
                able = frozenset(alg for alg, curve in _CURVES.items() if curve == elliptic.curve_name)
                return _of_known_kind(elliptic, able)
            case "OKP" if jwk.get("crv") == "Ed25519":
                return OKPKey.import_key(wanted), frozenset(_ED25519)
    except (JoseError, UnsupportedAlgorithm, ValueError, KeyError, TypeError) as error:
        raise Invalid("bad_key", "the key cannot be read") from error
    raise Invalid("bad_key", "expected a key of kind RSA, EC or OKP on a curve we know")


def _of_known_kind(key: ECKey, able: frozenset[str]) -> tuple[ECKey, frozenset[str]]:
    if not able:
        raise Invalid("bad_key", "expected P-256, P-384 or P-521")
    return key, able


def _rsa(key: RSAKey) -> tuple[RSAKey, frozenset[str]]:
    public: RSAPublicKey = key.public_key
    exponent = public.public_numbers().e
    if public.key_size not in _RSA_BITS or exponent not in _RSA_EXPONENT or exponent % 2 == 0:
        raise Invalid("bad_key", "expected an RSA key of 2048 to 8192 bits with an ordinary exponent")
    return key, frozenset(_RSA)
