"""What the face asks of JOSE: is this proof a proof, is this token ours.

Everything cryptographic is in `sojourn.jose`; this file only names what comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Proof(Protocol):
    """A DPoP proof whose signature holds under the key in its header."""

    @property
    def thumbprint(self) -> str:
        """RFC 7638 thumbprint of that key."""
        ...

    @property
    def claims(self) -> Mapping[str, object]: ...

    @property
    def header(self) -> Mapping[str, object]: ...


class Jose(Protocol):
    """Signatures checked, nothing judged: times, audiences and replays are for the caller."""

    def verify_proof(self, compact: str) -> Proof:
        """Check type, algorithm, key and signature of a proof (RFC 9449, section 4.3, 1-6).

        Raises:
            Unauthenticated: code `bad_proof`.
        """
        ...

    def verify_token(self, compact: str, keys: Sequence[Mapping[str, str]]) -> Mapping[str, object]:
        """The claims of an `at+jwt` signed by one of `keys`.

        Raises:
            Unauthenticated: code `bad_token`.
        """
        ...

    def thumbprint(self, jwk: Mapping[str, object]) -> str:
        """RFC 7638 thumbprint of a public ES256 key.

        Raises:
            Invalid: code `bad_key`; another kind of key, or a private one.
        """
        ...
