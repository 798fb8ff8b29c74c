"""Secrets that only the credential itself can be ended or probed with: sealed until it is gone.

They are written in the commit that says so of their lease, and taken away in the one that
says the credential is gone.
"""

from __future__ import annotations

from sojourn.core.change import Sealed
from sojourn.core.errors import Invalid, TargetError
from sojourn.core.ids import LeaseId
from sojourn.core.lease import Lease
from sojourn.core.secret import Secret
from sojourn.ports.keys import Sealer
from sojourn.ports.provider import Issued
from sojourn.ports.store import Store


class KeptSecrets:
    """Seals what a provider asked to keep, and hands it back to that provider alone."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    def sealed(self, lease: LeaseId, answer: Issued | None) -> tuple[Sealed, ...]:
        """What the commit that records `answer` has to write."""
        if answer is None or answer.keep is None:
            return ()
        name = _name(lease)
        return (Sealed(name, self._sealer.seal(name, answer.keep.reveal().encode())),)

    async def of(self, lease: Lease) -> Secret | None:
        """What is kept of `lease`, if anything is.

        Raises:
            TargetError: code `unsealable`; it is there and does not open.
        """
        if not lease.keeps:
            return None
        ciphertext = await self._store.sealed(_name(lease.id))
        if ciphertext is None:
            return None
        try:
            return Secret(self._sealer.unseal(_name(lease.id), ciphertext).decode())
        except Invalid as error:
            raise TargetError(error.code, error.message, sent=False) from error


def forgotten(lease: Lease) -> tuple[Sealed, ...]:
    """What the commit that says `lease` is destroyed takes away."""
    return (Sealed(_name(lease.id), None),) if lease.keeps else ()


def _name(lease: LeaseId) -> str:
    return f"lease:{lease}"
