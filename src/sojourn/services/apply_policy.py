"""Put a policy set in force, on every node; what was in force before stays on record."""

from __future__ import annotations

from sojourn.core.change import Change
from sojourn.core.client import Client
from sojourn.core.errors import Refused
from sojourn.core.ids import POLICY, PolicyId, from_uuid
from sojourn.core.policy import PolicySet, apply
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.policy_engine import Policies, PolicyEngine
from sojourn.ports.store import Store
from sojourn.services import _questions as questions
from sojourn.services._retry import decide_again

VERB = "apply_policy"


class ApplyPolicy:
    """Makes the next version of the policies, unless nothing changed."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, engine: PolicyEngine) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._engine = engine

    async def __call__(self, text: str, *, by: Client) -> tuple[PolicySet, bool]:
        """The set in force, and whether this call made it.

        Raises:
            Invalid: code `bad_policy`; the set in force stays.
            Refused: code `would_lock_out`; under this set the caller could apply no other.
        """
        loaded = self._engine.load(text, 0)
        _require_way_back(loaded, by)
        return await decide_again(lambda: self._attempt(text, by), self._clock)

    async def _attempt(self, text: str, by: Client) -> tuple[PolicySet, bool]:
        newest = await self._store.policy()
        if newest is not None and newest.text == text:
            return newest, False
        number = 1 if newest is None else newest.number + 1
        made = PolicyId(from_uuid(POLICY, self._entropy.uuid7()))
        asked = PolicySet(made, 1, number, text, self._clock.now(), by.name)
        # Two calls at once want the same number; the store keeps it unique.
        await self._store.commit(Change(steps=(apply(asked),)))
        return asked, True


def _require_way_back(loaded: Policies, by: Client) -> None:
    verdict = loaded.judge(questions.operating(by, VERB, ("policies", ""), ""))
    if not verdict.allowed:
        named = ", ".join(verdict.policies) or "no policy permits `operate`"
        raise Refused("would_lock_out", f"under this set you could not apply another: {named}")
