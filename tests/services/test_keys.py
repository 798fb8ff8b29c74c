"""Signing keys: made before they are needed, rotated without a false refusal, revoked for good."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sojourn.adapters.file_keys import FileKeys
from sojourn.adapters.key_ring import KeyRing
from sojourn.core.change import Change, RevocationKind
from sojourn.core.errors import Conflict, NotFound, Unavailable
from sojourn.core.record import FactKind
from sojourn.core.signing_key import (
    AT_ONCE,
    KEEP_VERIFYING,
    ROTATE_AFTER,
    KeyState,
    Purpose,
    SigningKey,
    sealed_name,
)
from sojourn.jose import read_key_set
from sojourn.ledger.note import open_note
from sojourn.ledger.note_keys import Ed25519Verifier
from sojourn.ports.keys import KeyVault, MadeKey
from sojourn.ports.store import Head
from sojourn.services._keys import Keys
from sojourn.services.revoke_key import RevokeKey
from sojourn.services.rotate_key import RotateKey
from sojourn.services.tend_keys import TendKeys
from sojourn.testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio
START = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


class Clock:
    """Moves when told."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


class FrailVault:
    """A vault that can be out of reach."""

    def __init__(self, vault: KeyVault) -> None:
        self._vault = vault
        self.out = False
        self.forgotten: list[str] = []

    def _reach(self) -> KeyVault:
        if self.out:
            raise Unavailable("no_signer", "the vault does not answer")
        return self._vault

    def make(self, algorithm: str) -> MadeKey:
        return self._reach().make(algorithm)

    def sign(self, key: MadeKey, algorithm: str, message: bytes) -> bytes:
        return self._reach().sign(key, algorithm, message)

    def forget(self, key: MadeKey) -> None:
        self.forgotten.append(key.kid)
        self._reach().forget(key)


class Node:
    """One server: a ring of its own over a store that it may share."""

    def __init__(self, store: MemoryStore, vault: KeyVault, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.ring = KeyRing(store, vault, clock)
        keys = Keys(store, clock, vault, self.ring)
        self.tend = TendKeys(keys, self.ring, clock)
        self.rotate, self.revoke = RotateKey(keys, clock), RevokeKey(keys, clock)

    def kids(self, purpose: Purpose = Purpose.TOKENS) -> list[str]:
        return [key["kid"] for key in self.ring.signer(purpose).public_keys()]

    async def key(self, kid: str) -> SigningKey:
        return next(key for key in await self.store.signing_keys() if key.id == kid)


class Town:
    """A store, a vault, a clock, and as many nodes as are asked for."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock = MemoryStore(), Clock()
        self.vault = FrailVault(FileKeys(folder / "keys").vault)

    async def node(self) -> Node:
        made = Node(self.store, self.vault, self.clock)
        await made.tend.run_once()
        return made


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


async def test_the_first_start_makes_a_key_that_signs_and_one_that_is_next(town: Town) -> None:
    node = await town.node()

    for purpose in AT_ONCE:
        states = [key.state for key in await town.store.signing_keys() if key.purpose is purpose]
        assert sorted(states) == [KeyState.ACTIVE, KeyState.NEXT]
    assert await node.tend.run_once() == 0
    assert not any(key.purpose is Purpose.EVENTS for key in await town.store.signing_keys())


async def test_nothing_is_signed_before_there_is_a_key(town: Town) -> None:
    ring = KeyRing(town.store, town.vault, town.clock)

    with pytest.raises(Unavailable) as refusal:
        ring.signer(Purpose.TOKENS).sign({}, {})

    assert refusal.value.code == "no_signer"


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_a_signature_of_each_purpose_verifies_by_what_is_published(
    town: Town, purpose: Purpose
) -> None:
    node = await town.node()
    await node.rotate(purpose)
    if purpose is Purpose.CHECKPOINTS:
        notes = node.ring.notes("sojourn.x/log")
        key = Ed25519Verifier.from_vkey(notes.vkey)
        assert open_note(notes.sign_note("a\n1\nb\n").encode(), [key], max_bytes=500).text == "a\n1\nb\n"
        return
    from sojourn.jose import read_foreign_keys, verify_foreign_token

    signer = node.ring.signer(purpose)
    claims = {"iss": "a", "aud": "b", "exp": START.timestamp() + 60}
    published = read_foreign_keys({"keys": list(node.ring.published())})
    algorithm = (await node.key(signer.kid)).algorithm

    found = verify_foreign_token(
        signer.sign({"typ": "JWT"}, claims),
        published,
        issuer="a",
        audience="b",
        algorithms=[algorithm],
        now=START,
    )

    assert found == claims


async def test_the_next_key_is_published_before_it_signs(town: Town) -> None:
    node = await town.node()
    before = node.kids()

    active = await node.rotate(Purpose.TOKENS)

    assert active.id in before and node.ring.signer(Purpose.TOKENS).kid == active.id
    assert set(before) < set(node.kids())


async def test_a_retired_key_verifies_until_nothing_it_signed_is_valid(town: Town) -> None:
    node = await town.node()
    old = node.ring.signer(Purpose.TOKENS).kid
    await node.rotate(Purpose.TOKENS)

    assert old in node.kids()
    town.clock.time += KEEP_VERIFYING
    assert old not in node.kids()


async def test_keys_are_rotated_by_themselves_after_thirty_days(town: Town) -> None:
    node = await town.node()
    old = node.ring.signer(Purpose.TOKENS).kid

    town.clock.time += ROTATE_AFTER - timedelta(seconds=1)
    assert await node.tend.run_once() == 0
    town.clock.time += timedelta(seconds=1)
    await node.tend.run_once()

    assert node.ring.signer(Purpose.TOKENS).kid != old


async def test_guards_take_a_token_key_and_no_key_of_another_purpose(town: Town) -> None:
    node = await town.node()

    taken = read_key_set({"keys": list(node.ring.published())})

    assert set(taken) == set(node.kids())
    assert len(node.ring.published()) > len(taken)


async def test_a_revoked_key_is_refused_and_the_next_one_signs(town: Town) -> None:
    node = await town.node()
    old = node.ring.signer(Purpose.TOKENS).kid

    await node.revoke(old, by="client:op")

    assert old not in node.kids() and node.ring.signer(Purpose.TOKENS).kid != old
    page = await town.store.feed(None, limit=10)
    assert [(entry.kind, entry.id) for entry in page.entries] == [(RevocationKind.SIGNER, old)]
    fact = next(fact for fact in town.store.facts if fact.kind is FactKind.KEY_REVOKED)
    assert fact.notes == {"by": "client:op"}


async def test_revoking_again_changes_nothing_and_an_unknown_key_is_said_so(town: Town) -> None:
    node = await town.node()
    old = node.ring.signer(Purpose.TOKENS).kid
    await node.revoke(old, by="client:op")
    facts = len(town.store.facts)

    assert (await node.revoke(old, by="client:op")).state is KeyState.REVOKED
    assert len(town.store.facts) == facts
    with pytest.raises(NotFound):
        await node.revoke("nobody", by="client:op")


async def test_a_key_is_revoked_while_the_vault_is_out_of_reach(town: Town) -> None:
    node = await town.node()
    first = node.ring.signer(Purpose.TOKENS).kid
    town.vault.out = True

    await node.revoke(first, by="client:op")
    second = node.ring.signer(Purpose.TOKENS).kid
    await node.revoke(second, by="client:op")

    with pytest.raises(Unavailable):
        _ = node.ring.signer(Purpose.TOKENS).kid
    town.vault.out = False
    await node.tend.run_once()
    assert node.ring.signer(Purpose.TOKENS).sign({}, {})


async def test_private_halves_are_erased_soon_after_they_signed_last(town: Town) -> None:
    node = await town.node()
    old = node.ring.signer(Purpose.TOKENS).kid
    await node.rotate(Purpose.TOKENS)
    assert await town.store.sealed(sealed_name(old))

    town.clock.time += timedelta(seconds=10)
    await node.tend.run_once()

    assert await town.store.sealed(sealed_name(old)) is None and town.vault.forgotten == [old]
    assert await node.tend.run_once() == 0


async def test_two_nodes_agree_after_one_look(town: Town) -> None:
    one, other = await town.node(), await town.node()
    assert one.kids() == other.kids()
    await one.rotate(Purpose.TOKENS)
    late = other.ring.signer(Purpose.TOKENS)
    assert late.kid in one.kids()  # what the late one signs meanwhile verifies everywhere
    await one.revoke(late.kid, by="client:op")

    await other.tend.run_once()

    assert one.kids() == other.kids() and one.ring.signer(Purpose.TOKENS).kid == late.kid


async def test_old_notes_stay_verifiable_by_the_key_that_was_pinned(town: Town) -> None:
    node = await town.node()
    notes = node.ring.notes("sojourn.x/log")
    pinned, old = notes.vkey, notes.sign_note("a\n1\nb\n")

    await node.rotate(Purpose.CHECKPOINTS)
    town.clock.time += timedelta(days=400)

    assert open_note(old.encode(), [Ed25519Verifier.from_vkey(pinned)], max_bytes=500).text == "a\n1\nb\n"
    assert notes.vkey != pinned and notes.vkeys == [notes.vkey, pinned]


class Dies(Exception):
    """The process is gone."""


class Dying:
    """A store whose process dies at the n-th commit, before or after it has landed."""

    def __init__(self, store: MemoryStore, at: int, *, landed: bool) -> None:
        self._store, self._left, self._landed = store, at, landed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: Change) -> Head:
        self._left -= 1
        if self._left:
            return await self._store.commit(change)
        if self._landed:
            await self._store.commit(change)
        raise Dies


Deed = Callable[[Node], Coroutine[Any, Any, object]]
DEEDS: dict[str, Deed] = {
    "first start": lambda node: node.tend.run_once(),
    "rotation": lambda node: node.rotate(Purpose.TOKENS),
    "revocation": lambda node: node.revoke(node.ring.signer(Purpose.TOKENS).kid, by="client:op"),
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("at", range(1, 10))
async def test_a_death_at_any_commit_leaves_keys_that_the_next_start_completes(
    town: Town, deed: str, landed: bool, at: int
) -> None:
    if deed != "first start":
        await town.node()
    doomed = Node(Dying(town.store, at, landed=landed), town.vault, town.clock)  # type: ignore[arg-type]
    await doomed.ring.reload()
    with suppress(Dies):
        await DEEDS[deed](doomed)

    after = await town.node()

    for purpose in AT_ONCE:
        states = [key.state for key in await town.store.signing_keys() if key.purpose is purpose]
        assert states.count(KeyState.ACTIVE) == 1 and states.count(KeyState.NEXT) == 1
    assert after.ring.signer(Purpose.TOKENS).sign({}, {})


async def test_only_a_next_key_takes_over_and_only_once(town: Town) -> None:
    from sojourn.core.signing_key import activate, retire

    node = await town.node()
    key = await node.key(node.ring.signer(Purpose.TOKENS).kid)

    with pytest.raises(Conflict):
        activate(key, START)
    with pytest.raises(Conflict):
        retire(retire(key, START).row, START)
