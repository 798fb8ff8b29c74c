"""A deployment that plays one life in a process of its own, to be killed at any moment of it.

`tests/rig/cradle.py` forks it off and watches it. What it leaves behind is recovered by the
product alone, and told by `tests/rig/recovery.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg

from sojourn.adapters.file_keys import FileKeys
from sojourn.adapters.high_water import HighWater
from sojourn.adapters.opened_store import open_postgres, open_sqlite
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemEntropy
from sojourn.config import Settings
from sojourn.core.change import Change
from sojourn.core.charter import Charter, Renewals, apply
from sojourn.core.client import Role
from sojourn.core.ending import Reason
from sojourn.core.errors import Refused, SojournError, TargetError
from sojourn.core.ids import CHARTER, CharterId, OwnerId, from_uuid
from sojourn.core.scope import Grants, TargetGrant
from sojourn.core.secret import Secret
from sojourn.core.session import BeatRule, Session, Task
from sojourn.core.target import TargetState
from sojourn.faces.http.desk import Verbs
from sojourn.faces.http.doors import Activation, OpenRequest
from sojourn.jose import Es256Key, sign_client_assertion
from sojourn.ports.attestor import Evidence
from sojourn.wiring import Deployment
from tests.rig.poll import until_async
from tests.rig.postgres import psql_path

ISSUER: Final = "http://127.0.0.1:9"
SECOND: Final = timedelta(seconds=1)
TEMPLATE: Final = {
    "database": "shop",
    "schemas": {"shop": {"privileges": ["USAGE"]}},
    "tables": [{"schema": "shop", "name": "*", "privileges": ["SELECT"]}],
}
IN_FLIGHT: Final = 8
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where one deployment lives; written to a file of ours, because it holds passwords."""

    state: str
    deployment: str
    target_dsn: str  # the target as the deployment administers it
    root_dsn: str  # the target as its superuser sees it
    store_dsn: str | None = None  # None: SQLite in `state`
    missed_after_s: float = 0.5  # how long a session may be silent

    @property
    def settings(self) -> Settings:
        """Short times, so that what a crash left is taken back within two seconds."""
        return Settings(
            ISSUER,
            self.deployment,
            issue_fence=SECOND,
            activate_within=SECOND,
            hold_errand=SECOND,
            sweep_every=SECOND / 20,
        )

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return Path(self.state) / "sojourn.sqlite3"


class Plant:
    """A deployment without a face, and the workload that uses it."""

    def __init__(self, place: Place, store: SqlStore, keys: FileKeys) -> None:
        self.place = place
        self.sql = store
        self.keys = keys
        self.deployment = Deployment(store, place.settings, keys, Path(place.state) / "calendars")
        self.verbs: Verbs = self.deployment._verbs()
        self._secret = Path(place.state) / "workload.json"

    async def prepare(self) -> None:
        """A client, a charter with a short beat, a target that passed its preflight."""
        key = Es256Key.generate()
        client = await self.verbs.register_client(
            name="runner", role=Role.WORKLOAD, owner="own", jwk=key.jwk, audience=None
        )
        told = {"client": client.id, "pem": key.secret_pem().reveal()}
        self._secret.touch(0o600)
        self._secret.write_text(json.dumps(told))
        await self.sql.commit(Change(steps=(apply(self._charter()),)))
        await self.verbs.add_target(
            name="shop",
            provider="postgresql",
            settings={"databases": ["shop"], "issue_seconds": 1.0},
            templates={"reader": TEMPLATE},
            secret=Secret(self.place.target_dsn),
        )
        target, checks = await self.verbs.preflight_target("shop")
        assert target.state is TargetState.READY, [check for check in checks if not check.ok]

    def _charter(self) -> Charter:
        return Charter(
            id=CharterId(from_uuid(CHARTER, SystemEntropy().uuid7())),
            version=1,
            name="demo",
            number=1,
            owner=OwnerId("own"),
            clients=("runner",),
            grants=Grants((TargetGrant("shop", "shop", "reader"),)),
            default_duration=600 * SECOND,
            longest=600 * SECOND,
            beat=BeatRule(SECOND / 8, self.place.missed_after_s * SECOND),
            renewals=Renewals(0, SECOND),
            applied_at=self.deployment.clock.now(),
            applied_by="rig",
        )

    async def open(self) -> Activation:
        """An active session with a PostgreSQL grant."""
        told = json.loads(self._secret.read_text())
        key = Es256Key.from_pem(Secret(told["pem"]))
        now = self.deployment.clock.now()
        shown = sign_client_assertion(key, told["client"], ISSUER, now, jti=str(uuid.uuid4()))
        evidence = Evidence("private_key_jwt", shown)
        asked = OpenRequest(evidence, Task("demo", "1"), (), None, {}, key.thumbprint, (), None, "")
        opening = await self.verbs.open_session(asked)
        return await self.verbs.activate(opening.session)

    async def ended(self, session: Session) -> bool:
        """Whether nothing is left of it."""
        found = await self.sql.session(session.id)
        return found is not None and found.ended_at is not None

    async def use(self, activation: Activation) -> None:
        """Let a process of its own work with the credential; it outlives ours."""
        credential = activation.credentials[0]
        told = {**os.environ, "PGPASSWORD": credential.secret.reveal()}
        where = dict(credential.connection)
        command = [str(psql_path()), "-X", "-q", "-h", "127.0.0.1", "-p", str(where["port"])]
        command += ["-U", str(where["user"]), "-d", "shop", "-c", "select pg_sleep(60)"]
        subprocess.Popen(  # noqa: ASYNC220 - it is meant to be left behind
            command, env=told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        root = await asyncpg.connect(self.place.root_dsn)
        try:
            query = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state = 'active'"
            await until_async(lambda: root.fetchval(query, where["user"]))
        finally:
            await root.close()


async def planted(place: Place) -> Plant:
    """The deployment of `place`, with nothing running yet."""
    state = Path(place.state)
    keys = FileKeys(state / "keys")
    high_water = HighWater(state / "keys" / "high-water")
    if place.store_dsn is None:
        plant = Plant(place, await open_sqlite(place.database, high_water=high_water), keys)
    else:
        plant = Plant(place, await open_postgres(Secret(place.store_dsn), high_water=high_water), keys)
    await plant.deployment.prepare()
    return plant


class Gate:
    """Tells how far a life has come, and holds it where it is to be watched from."""

    def __init__(self, told: int, held: int) -> None:
        self._told, self._held = told, held

    def say(self, word: str) -> None:
        """One line, out before anything else happens."""
        os.write(self._told, word.encode() + b"\n")

    def wait(self) -> None:
        """Say that we are here and stand still: nothing of ours runs meanwhile."""
        self.say("gate")
        os.read(self._held, 1)


async def live(place: Place, phase: str, gate: Gate) -> None:
    """One life, of which `phase` (issue or end) begins at the gate; it stops where the phase ends."""
    plant = await planted(place)
    if phase == "issue":
        gate.wait()
        plant.deployment.start()
        await _opened(plant, gate)
        os._exit(0)
    while (activation := await _opened(plant, gate)) is None:
        pass
    await plant.use(activation)
    gate.wait()
    await _completed(plant, activation, gate)
    plant.deployment.start()
    await until_async(lambda: plant.ended(activation.session), within_s=20)
    os._exit(0)


async def load(place: Place, gate: Gate) -> None:
    """Open and end sessions, eight in flight, for ever; what was answered is said at once."""
    plant = await planted(place)
    plant.deployment.start()

    async def again_and_again() -> None:
        while True:
            if activation := await _opened(plant, gate):
                await _completed(plant, activation, gate)

    gate.say("gate")
    await asyncio.gather(*(again_and_again() for _ in range(IN_FLIGHT)))


async def _opened(plant: Plant, gate: Gate) -> Activation | None:
    """An active session; None when a busy machine missed one of the short deadlines."""
    try:
        activation = await plant.open()
    except (Refused, TargetError) as error:
        gate.say(f"refused {error.code}")
        return None
    gate.say(f"active {activation.session.id}")
    return activation


async def _completed(plant: Plant, activation: Activation, gate: Gate) -> None:
    """Said only of a session that this call ended: an earlier cause would have been kept."""
    ending = await plant.verbs.complete(activation.session.id, activation.session.key)
    if ending.cause is not None and ending.cause.reason is Reason.COMPLETED:
        gate.say(f"leaving {activation.session.id}")


async def bear_broken_disk(place: Place, gate: Gate) -> None:
    """Go on trying on a disk that fails once; what each attempt came to is said."""
    plant = await planted(place)
    gate.wait()
    plant.deployment.start()
    for _ in range(TRIES):
        gate.say(await _outcome(plant.open()))
        gate.say(await _outcome(plant.sql.forget_expired(plant.deployment.clock.now())))
    os._exit(0)


async def _outcome(attempt: Awaitable[object]) -> str:
    try:
        await attempt
    except SojournError as error:
        return f"refused {error.code}"
    return "written"


async def prepare(place: Place) -> None:
    """Make the place ready for lives."""
    plant = await planted(place)
    await plant.prepare()
    await plant.deployment.stop()
