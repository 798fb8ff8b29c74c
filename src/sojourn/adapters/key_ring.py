"""The deployment's signing keys in memory: what signs now, and what is published.

Rows come from the store, signatures from the vault. A key that any node has rotated or revoked is
known here after the next reload, and until then what it signs is refused or still good, never more.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from sojourn.adapters.key_pairs import b64
from sojourn.core.errors import Invalid, Unavailable
from sojourn.core.signing_key import KeyState, Purpose, SigningKey, in_state, sealed_name
from sojourn.ports.clock import Clock
from sojourn.ports.keys import KeyVault, MadeKey
from sojourn.ports.store import Store

_ED25519: Final = b"\x01"  # C2SP signed-note: the signature type


class KeyRing:
    """Signers for every purpose; empty, and so signing nothing, until the first reload."""

    def __init__(self, store: Store, vault: KeyVault, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._of: Mapping[Purpose, Sequence[SigningKey]] = {}
        self._kept: Mapping[str, bytes] = {}

    async def reload(self) -> None:
        """Read the keys, and what the vault needs to sign with the active ones."""
        keys = tuple(await self._store.signing_keys())
        kept: dict[str, bytes] = {}
        for key in keys:
            if key.state is not KeyState.ACTIVE:
                continue
            sealed = self._kept.get(key.id) or await self._store.sealed(sealed_name(key.id))
            if sealed:
                kept[key.id] = sealed
        self._kept = kept
        self._of = {purpose: [key for key in reversed(keys) if key.purpose is purpose] for purpose in Purpose}

    def signer(self, purpose: Purpose) -> JwtSigner:
        """What signs JWTs of that purpose."""
        return JwtSigner(self, purpose)

    def notes(self, name: str) -> RingNoteSigner:
        """What signs notes under `name`.

        Raises:
            Invalid: code `bad_name`.
        """
        if not name or any(mark.isspace() or mark == "+" for mark in name):
            raise Invalid("bad_name", "the name of a note signer has no spaces and no plus")
        return RingNoteSigner(self, name)

    def published(self) -> Sequence[Mapping[str, str]]:
        """The JWKs of every purpose that signs JWTs, newest first."""
        purposes = [purpose for purpose in Purpose if purpose is not Purpose.CHECKPOINTS]
        return [_shown(key) for purpose in purposes for key in self.verifying(purpose)]

    def verifying(self, purpose: Purpose) -> Sequence[SigningKey]:
        """The keys by which something of that purpose may be believed now, newest first."""
        now = self._clock.now()
        return [key for key in self.of(purpose) if key.verifies(now)]

    def of(self, purpose: Purpose) -> Sequence[SigningKey]:
        """Every key of that purpose, newest first, revoked ones too."""
        return self._of.get(purpose, ())

    def active(self, purpose: Purpose) -> SigningKey:
        """The key that signs for that purpose.

        Raises:
            Unavailable: code `no_signer`.
        """
        key = in_state(self.of(purpose), purpose, KeyState.ACTIVE)
        if key is None:
            raise Unavailable("no_signer", f"there is no active key for {purpose}")
        return key

    def sign(self, key: SigningKey, message: bytes) -> bytes:
        """The key's signature, by the vault.

        Raises:
            Unavailable: code `no_signer`.
        """
        kept = self._kept.get(key.id)
        if kept is None:
            raise Unavailable("no_signer", "the private half of the key is not there")
        return self._vault.sign(MadeKey(key.jwk, key.id, kept), key.algorithm, message)


class JwtSigner:
    """Signs JWTs of one purpose."""

    def __init__(self, ring: KeyRing, purpose: Purpose) -> None:
        self._ring = ring
        self._purpose = purpose
        self._public: tuple[Sequence[SigningKey], Sequence[Mapping[str, str]]] = ((), ())

    @property
    def kid(self) -> str:
        """The id of the key in use."""
        return self._ring.active(self._purpose).id

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A compact JWS; `alg` and `kid` are ours to set."""
        key = self._ring.active(self._purpose)
        head = _segment({**header, "alg": key.algorithm, "kid": key.id})
        signed = f"{head}.{_segment(claims)}"
        return f"{signed}.{b64(self._ring.sign(key, signed.encode('ascii')))}"

    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """The JWKs of this purpose; the same object while they are the same."""
        keys, (known, shown) = self._ring.verifying(self._purpose), self._public
        if keys != known:
            shown = [_shown(key) for key in keys]
        self._public = (keys, shown)
        return shown


class RingNoteSigner:
    """Signs checkpoints and bundles as C2SP signed notes."""

    def __init__(self, ring: KeyRing, name: str) -> None:
        self._ring = ring
        self._name = name

    @property
    def name(self) -> str:
        """Whose signature it is."""
        return self._name

    @property
    def vkey(self) -> str:
        """The public key in use, in C2SP form."""
        return self._vkey(self._ring.active(Purpose.CHECKPOINTS))

    @property
    def vkeys(self) -> Sequence[str]:
        """Every key that has signed for us, the one in use first."""
        mine = self._ring.of(Purpose.CHECKPOINTS)
        signed = [key for key in mine if key.activated_at is not None]
        return [self._vkey(key) for key in sorted(signed, key=lambda key: key.state is not KeyState.ACTIVE)]

    def sign_note(self, text: str) -> str:
        """`text`, an empty line, and its signature line.

        Raises:
            Invalid: code `bad_note`; the text does not end its last line.
        """
        if not text.endswith("\n"):
            raise Invalid("bad_note", "the text of a note must end with a newline")
        key = self._ring.active(Purpose.CHECKPOINTS)
        signature = _note_id(self._name, key) + self._ring.sign(key, text.encode())
        return f"{text}\n\u2014 {self._name} {base64.b64encode(signature).decode()}\n"

    def _vkey(self, key: SigningKey) -> str:
        shown = base64.b64encode(_ED25519 + _octets(key)).decode()
        return f"{self._name}+{_note_id(self._name, key).hex()}+{shown}"


def _note_id(name: str, key: SigningKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + _octets(key)).digest()[:4]


def _octets(key: SigningKey) -> bytes:
    return base64.urlsafe_b64decode(key.jwk["x"] + "=")


def _shown(key: SigningKey) -> Mapping[str, str]:
    return {**key.jwk, "kid": key.id, "use": "sig", "alg": key.algorithm, "purpose": str(key.purpose)}


def _segment(value: Mapping[str, object]) -> str:
    return b64(json.dumps(value, separators=(",", ":")).encode())
