"""A vault in hardware, or what speaks PKCS #11 like it: private keys are made in the token and stay there.

What is stored of a key is only under which id the token has it. All nodes must reach the same token.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import NoSuchKey, PKCS11Error, UserAlreadyLoggedIn
from pkcs11.util.ec import encode_named_curve_parameters

from sojourn.adapters.key_pairs import PublicKey, jwk_of, kid_of
from sojourn.core.errors import Invalid, Unavailable
from sojourn.core.secret import Secret
from sojourn.ports.keys import MadeKey

T = TypeVar("T")
_KEPT: Final = b"pkcs11:"
_LABEL: Final = "sojourn"
_ID_BYTES: Final = 16
_RSA_BITS: Final = 2048
_ED25519: Final = bytes.fromhex("06032b6570")  # the object identifier 1.3.101.112
_TAG: Final = 2  # octets before the point: it is a DER octet string
_HOW: Final = {"ES256": Mechanism.ECDSA, "RS256": Mechanism.SHA256_RSA_PKCS, "Ed25519": Mechanism.EDDSA}


class Pkcs11Vault:
    """Makes and uses keys in one token."""

    def __init__(self, module: str, token: str, pin: Secret) -> None:
        """Open the token.

        Raises:
            Unavailable: code `no_signer`; there is no such module or token, or the PIN is wrong.
        """
        self._module, self._token, self._pin = module, token, pin
        self._lock = threading.Lock()  # a session of PKCS #11 does one thing at a time
        self._session: Any = None
        self._call(lambda session: None)

    def make(self, algorithm: str) -> MadeKey:
        """A fresh key in the token, sensitive and never to be extracted."""
        if algorithm not in _HOW:
            raise Invalid("bad_key", f"we do not sign by `{algorithm[:20]}`")
        place = secrets.token_bytes(_ID_BYTES)
        jwk = jwk_of(self._call(lambda session: _generate(session, algorithm, place)))
        return MadeKey(jwk, kid_of(jwk), _KEPT + place)

    def sign(self, key: MadeKey, algorithm: str, message: bytes) -> bytes:
        """The signature, made in the token."""
        signed = hashlib.sha256(message).digest() if algorithm == "ES256" else message
        made = self._call(lambda session: _private(session, key).sign(signed, mechanism=_HOW[algorithm]))
        return bytes(made)

    def forget(self, key: MadeKey) -> None:
        """Destroy the key in the token."""
        try:
            self._call(lambda session: _private(session, key).destroy())
        except Invalid:
            return  # it was gone

    def _call(self, work: Callable[[Any], T]) -> T:
        """Do it in the open session; after a failure of the token once more in a fresh one."""
        with self._lock:
            for is_last in (False, True):
                try:
                    if self._session is None:
                        self._session = self._open()
                    return work(self._session)
                except NoSuchKey as error:
                    raise Invalid("unsealable", "the token does not have this key") from error
                except (PKCS11Error, RuntimeError) as error:
                    self._session = None
                    if is_last:
                        raise Unavailable("no_signer", f"the token: {type(error).__name__}") from None
        raise Unavailable("no_signer", "the token does not answer")

    def _open(self) -> Any:
        token = pkcs11.lib(self._module).get_token(token_label=self._token)
        try:
            return token.open(rw=True, user_pin=self._pin.reveal())
        except UserAlreadyLoggedIn:  # by an earlier session of this process: a login is for all of them
            return token.open(rw=True)


def _generate(session: Any, algorithm: str, place: bytes) -> PublicKey:
    named = {"store": True, "id": place, "label": _LABEL}
    if algorithm == "RS256":
        public, _ = session.generate_keypair(KeyType.RSA, _RSA_BITS, **named)
        modulus = int.from_bytes(public[Attribute.MODULUS], "big")
        return rsa.RSAPublicNumbers(
            int.from_bytes(public[Attribute.PUBLIC_EXPONENT], "big"), modulus
        ).public_key()
    if algorithm == "ES256":
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        public, _ = session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(**named)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public[Attribute.EC_POINT][_TAG:])
    curve = {Attribute.EC_PARAMS: _ED25519}
    parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
    public, _ = parameters.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, **named)
    return Ed25519PublicKey.from_public_bytes(public[Attribute.EC_POINT][_TAG:])


def _private(session: Any, key: MadeKey) -> Any:
    if not key.kept.startswith(_KEPT):
        raise Invalid("unsealable", "the key is not one of this token")
    return session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=key.kept.removeprefix(_KEPT))
