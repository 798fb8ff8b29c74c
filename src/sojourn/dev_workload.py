"""The workload that `sojourn dev` enrols on its own machine, so that `sojourn run` works at once.

It may open sessions of the charter `default`, which holds no grant: a session and nothing in
it, until an operator applies more. Its key is made here and written to one 0600 file, as if
`sojourn client add` had been typed; a profile that is somebody else's is never replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sojourn.client.profile import Profile, load_profile, save_profile
from sojourn.client.signing import Es256Key
from sojourn.core.client import Client, Role
from sojourn.core.errors import Invalid, NotFound
from sojourn.core.ids import ClientId
from sojourn.faces.http.desk import Verbs
from sojourn.ports.store import Store

NAME: Final = "dev"
CHARTER: Final = "default"
"""The kind of task that `sojourn run` asks for when it is told none."""


@dataclass(frozen=True, slots=True)
class DevWorkload:
    """Enrols the workload `dev` with the server at `issuer`, whose log signs with `log_vkey`."""

    store: Store
    verbs: Verbs
    issuer: str
    log_vkey: str

    async def enrol(self, usual: Path, aside: Path) -> Path:
        """Where its profile is: `usual`, or `aside` if another server's is there.

        Raises:
            Invalid: code `unsafe_file`; the folder of the profile can be written by others.
        """
        await self._allow()
        path = usual if await self._is_free(usual) else aside
        if await self._serves(path):
            return path
        lost = await self.store.client_named(NAME)
        if lost is not None:  # its profile is gone, and with it the only key that can use it
            await self.verbs.remove_client(lost.id, by=NAME)
        key = Es256Key.generate()
        client = await self.verbs.register_client(
            name=NAME, role=Role.WORKLOAD, owner=NAME, jwk=key.public_jwk, audience=None
        )
        save_profile(path, Profile(self.issuer, client.id, NAME, "workload", key, self.log_vkey))
        return path

    async def _allow(self) -> None:
        if await self.store.charter(CHARTER) is None:
            await self.verbs.apply_charter({"name": CHARTER, "owner": NAME, "clients": [NAME]}, by=NAME)

    async def _is_free(self, path: Path) -> bool:
        """Whether `path` is ours to write: nothing, or a workload's profile of this very address."""
        try:
            found = load_profile(path)
        except NotFound:
            return True
        except Invalid:
            return False
        return found.issuer == self.issuer and found.name == NAME

    async def _serves(self, path: Path) -> bool:
        """Whether the profile at `path` is one that this server knows."""
        try:
            found = load_profile(path)
        except (NotFound, Invalid):
            return False
        client: Client | None = await self.store.client(ClientId(found.client_id))
        return client is not None and client.removed_at is None and client.jwk == found.key.public_jwk
