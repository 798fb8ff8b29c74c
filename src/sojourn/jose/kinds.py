"""Every kind of JWT that we make or take, with the rules that tell it from the others.

Each surface takes one kind and refuses the rest: by `typ`, by algorithm, by who may sign, and by the
claims that it must and must not have (RFC 8725, sections 3.11 and 3.12).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sojourn.core import proof, token
from sojourn.core.errors import Unauthenticated
from sojourn.jose.compact import Parts, take_apart

ES256: Final = frozenset({"ES256"})


class SignedBy(StrEnum):
    """Whose key makes a signature of that kind good; the token itself never says."""

    OUR_KEY = "our key of that purpose"
    CLIENT = "the registered key of the client"
    HOLDER = "the key in its own header"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of JWT."""

    typ: str
    algorithms: frozenset[str]
    signed_by: SignedBy
    code: str  # of the refusal
    required: tuple[str, ...]
    forbidden: tuple[str, ...] = ()
    untyped: bool = False  # whether `typ` may be left out


ACCESS_TOKEN: Final = Kind(
    token.TYPE,
    ES256,
    SignedBy.OUR_KEY,
    "bad_token",
    ("iss", "sub", "aud", "exp", "iat", "jti", "cnf"),
    ("nbf", "events", "status_list", "token_introspection", "htu"),  # what no token of ours has
)
PROOF: Final = Kind(proof.TYPE, ES256, SignedBy.HOLDER, "bad_proof", ("jti", "htm", "htu", "iat"))
CLIENT_ASSERTION: Final = Kind(
    "client-authentication+jwt",
    ES256,
    SignedBy.CLIENT,
    "bad_assertion",
    ("iss", "sub", "aud", "exp", "iat", "jti"),
    ("cnf", "events", "status_list", "token_introspection", "htu"),
    untyped=True,  # RFC 7523 knew no type, RFC 10070 recommends it
)
# RFC 9701, section 5: without `sub` and `exp` an answer cannot be taken for a token.
INTROSPECTION: Final = Kind(
    "token-introspection+jwt",
    ES256,
    SignedBy.OUR_KEY,
    "bad_statement",
    ("iss", "aud", "iat", "token_introspection"),
    ("sub", "exp"),
)
STATUS_LIST: Final = Kind(
    "statuslist+jwt", ES256, SignedBy.OUR_KEY, "bad_statement", ("sub", "iat", "exp", "status_list"), ("aud",)
)
# SSF 1.0, section 4.1.7: a security event token has neither `sub` nor `exp`. CAEP Interop: RS256.
EVENT: Final = Kind(
    "secevent+jwt",
    frozenset({"RS256"}),
    SignedBy.OUR_KEY,
    "bad_statement",
    ("iss", "aud", "iat", "jti", "events"),
    ("sub", "exp"),
)
# The actor token of an exchange: a parent names the key of its child, and nothing more.
INTRODUCTION: Final = Kind(
    "sojourn-introduction+jwt",
    ES256,
    SignedBy.HOLDER,
    "bad_actor",
    ("sub", "aud", "exp", "iat", "jti"),
    ("iss", "cnf", "nbf", "events", "status_list", "token_introspection", "htu"),
)
KINDS: Final = (ACCESS_TOKEN, PROOF, CLIENT_ASSERTION, INTROSPECTION, STATUS_LIST, EVENT)


def open_as(compact: str, kind: Kind) -> Parts:
    """Take a JWT apart and check that it is of `kind`; its signature is not looked at yet.

    Raises:
        Unauthenticated: the code of the kind.
    """
    parts = take_apart(compact, kind.code)
    header, claims = parts.header, parts.claims
    typ = header.get("typ", kind.typ if kind.untyped else None)
    # RFC 7515, section 4.1.9: a type without a slash means application/ before it.
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != kind.typ:
        raise Unauthenticated(kind.code, f"header `typ` must be `{kind.typ}`")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in kind.algorithms:
        raise Unauthenticated(kind.code, f"header `alg` must be `{'`, `'.join(sorted(kind.algorithms))}`")
    if "crit" in header or "b64" in header:
        raise Unauthenticated(kind.code, "headers `crit` and `b64` are not understood")
    for name in kind.required:
        if claims.get(name) is None:
            raise Unauthenticated(kind.code, f"claim `{name}` is missing")
    for name in kind.forbidden:
        if name in claims:
            raise Unauthenticated(kind.code, f"claim `{name}` has no place in it")
    return parts
