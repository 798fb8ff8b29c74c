"""Signed tokens, in one place for both sides: compact only, one `typ` for each use, ours ES256 only."""

from sojourn.jose.compact import Parts
from sojourn.jose.foreign import ForeignKey, IssuerKey, read_foreign_keys, verify_foreign_token
from sojourn.jose.introduction import Introduction, verify_introduction
from sojourn.jose.keys import Es256Key, VerifyKey, read_key_set
from sojourn.jose.kinds import EVENT, INTROSPECTION, KINDS, STATUS_LIST, Kind
from sojourn.jose.sign import sign_client_assertion, sign_proof
from sojourn.jose.verify import (
    ClientAssertion,
    VerifiedProof,
    claimed_client,
    open_client_assertion,
    verify_access_token,
    verify_client_assertion,
    verify_client_token,
    verify_proof,
    verify_statement,
)

__all__ = [
    "EVENT",
    "INTROSPECTION",
    "KINDS",
    "STATUS_LIST",
    "ClientAssertion",
    "Es256Key",
    "ForeignKey",
    "Introduction",
    "IssuerKey",
    "Kind",
    "Parts",
    "VerifiedProof",
    "VerifyKey",
    "claimed_client",
    "open_client_assertion",
    "read_foreign_keys",
    "read_key_set",
    "sign_client_assertion",
    "sign_proof",
    "verify_access_token",
    "verify_client_assertion",
    "verify_client_token",
    "verify_foreign_token",
    "verify_introduction",
    "verify_proof",
    "verify_statement",
]
