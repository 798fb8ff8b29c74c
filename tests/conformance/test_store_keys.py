"""Signing keys in the store: one signs and one is next, whoever writes and however many nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sojourn.adapters.file_keys import FileKeys
from sojourn.adapters.key_ring import KeyRing
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock
from sojourn.core.change import Change
from sojourn.core.errors import Conflict
from sojourn.core.signing_key import AT_ONCE, KeyId, KeyState, Purpose, SigningKey, make
from sojourn.services._keys import Keys
from sojourn.services.revoke_key import RevokeKey
from sojourn.services.rotate_key import RotateKey
from sojourn.services.tend_keys import TendKeys
from tests.rig.store import START, Place

pytestmark = pytest.mark.anyio


class Node:
    """One server's keys."""

    def __init__(self, store: SqlStore, folder: Path) -> None:
        clock, vault = SystemClock(), FileKeys(folder).vault
        self.store, self.ring = store, KeyRing(store, vault, clock)
        keys = Keys(store, clock, vault, self.ring)
        self.tend = TendKeys(keys, self.ring, clock)
        self.rotate, self.revoke = RotateKey(keys, clock), RevokeKey(keys, clock)

    def kids(self) -> set[str]:
        return {key["kid"] for key in self.ring.published()}


def a_key(kid: str, state: KeyState) -> SigningKey:
    return SigningKey(KeyId(kid), 1, Purpose.TOKENS, state, "ES256", {"kty": "EC"}, START)


async def _settled(store: SqlStore) -> bool:
    keys = await store.signing_keys()
    of = {purpose: sorted(k.state for k in keys if k.purpose is purpose) for purpose in AT_ONCE}
    return all(states.count(KeyState.ACTIVE) == states.count(KeyState.NEXT) == 1 for states in of.values())


async def _ever_signed(store: SqlStore) -> set[str]:
    keys = await store.signing_keys()
    return {key.id for key in keys if key.purpose is Purpose.TOKENS and key.activated_at is not None}


async def test_keys_are_kept_and_the_journal_rebuilds_them(store: SqlStore, tmp_path: Path) -> None:
    node = Node(store, tmp_path / "keys")
    await node.tend.run_once()
    old = node.ring.signer(Purpose.TOKENS).kid

    await node.rotate(Purpose.TOKENS)
    await node.revoke(old, by="client:op")

    assert await _settled(store) and old not in node.kids()
    assert await store.replay_differences() == []


@pytest.mark.parametrize("state", [KeyState.NEXT, KeyState.ACTIVE])
async def test_the_database_has_room_for_one_key_in_use(store: SqlStore, state: KeyState) -> None:
    await store.commit(Change(steps=(make(a_key("one", state)),)))

    with pytest.raises(Conflict):
        await store.commit(Change(steps=(make(a_key("two", state)),)))


async def test_nodes_that_start_and_rotate_at_once_agree(place: Place, tmp_path: Path) -> None:
    count = 1 if place.dialect == "sqlite" else 3
    stores = [await place.open() for _ in range(count)]
    try:
        nodes = [Node(store, tmp_path / "keys") for store in stores]
        await asyncio.gather(*(node.tend.run_once() for node in nodes))
        taken = await asyncio.gather(*(node.rotate(Purpose.TOKENS) for node in nodes for _ in range(4)))
        assert len({key.id for key in taken}) == len(taken) == len(await _ever_signed(stores[0])) - 1
        for node in nodes:
            await node.tend.run_once()
        assert await _settled(stores[0]) and await stores[0].replay_differences() == []
        assert len({frozenset(node.kids()) for node in nodes}) == 1
        assert all(node.ring.signer(Purpose.TOKENS).sign({}, {}) for node in nodes)
    finally:
        for store in stores:
            await store.close()
