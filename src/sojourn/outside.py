"""Where the outside meets its adapters: triggers that hear, hooks that tell and bring answers.

A part of `wiring`, with a file of its own because it has many parts. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from sojourn.adapters.hook_sender import HookSender
from sojourn.catalog import TRIGGERS
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.issuers import Reach
from sojourn.ports.keys import Sealer
from sojourn.ports.store import Store
from sojourn.ports.trigger import PushTrigger, WatchTrigger
from sojourn.services.add_hook import AddHook
from sojourn.services.add_trigger import AddTrigger
from sojourn.services.answer_by_hook import AnswerByHook
from sojourn.services.approve_session import ApproveSession
from sojourn.services.end_session import EndSession
from sojourn.services.route_signals import RouteSignals
from sojourn.services.tell_hooks import TellHooks
from sojourn.services.watch_triggers import WatchTriggers


class Outside:
    """Everything of one deployment that other systems report to, or are told by."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, sealer: Sealer, *, end: EndSession
    ) -> None:
        self._store = store
        self._clock = clock
        self._sealer = sealer
        made = _triggers()
        pushed = {name: one for name, one in made.items() if isinstance(one, PushTrigger)}
        watched = {name: one for name, one in made.items() if isinstance(one, WatchTrigger)}
        self.signals = RouteSignals(store, clock, end, sealer=sealer, kinds=pushed)
        self.triggers = AddTrigger(store, clock, entropy, sealer=sealer, kinds=tuple(TRIGGERS))
        self.watch = WatchTriggers(store, clock, self.signals, watched)
        self.hooks = AddHook(store, clock, entropy, sealer)

    def answers(self, approve: ApproveSession) -> AnswerByHook:
        """What takes answers that chat tools bring."""
        return AnswerByHook(self._store, self._clock, approve, self._sealer)

    def tell(self, hosts: Mapping[str, Reach], *, issuer: str, holder: str) -> TellHooks:
        """The loop that tells hooks; `hosts` may be reached though they are not public."""
        send = HookSender(hosts)
        return TellHooks(self._store, self._clock, send, sealer=self._sealer, issuer=issuer, holder=holder)


def _triggers() -> Mapping[str, object]:
    made: dict[str, object] = {}
    for name, place in TRIGGERS.items():
        module, _, attribute = place.partition(":")
        made[name] = getattr(import_module(module), attribute)()
    return made
