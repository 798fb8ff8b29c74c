"""A provider whose failures are scripted, over a target that behaves like a real one.

Connections outlive a removed login unless they are cut. A request may fail without effect,
take effect and lose its answer, be held back and land late, or be answered by a lie.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.lease import Counted
from sojourn.core.secret import Secret
from sojourn.core.target import Target
from sojourn.ports.clock import Clock
from sojourn.ports.provider import (
    Check,
    Found,
    Intent,
    Issued,
    Lasting,
    Observation,
    Presence,
    Provider,
    Ref,
    RevocationClass,
)


class Fault(StrEnum):
    """What goes wrong with one call."""

    UNSENT = "unsent"  # it never left us, and we know
    NO_EFFECT = "no_effect"  # it failed on the way; nobody knows
    LOST_ANSWER = "lost_answer"  # it took effect; nobody knows
    SLOW = "slow"  # it lands later, if the target still takes it, and is answered then
    HELD = "held"  # it lands later, if the target still takes it; nobody knows
    LIE = "lie"  # it is answered as done, and was not


@dataclass(slots=True)
class Account:
    """One credential in the target."""

    handle: str
    target_id: str
    secret: str
    made_at: datetime
    login: bool = True
    removed: bool = False
    owns: bool = False
    template: Mapping[str, object] = field(default_factory=dict)
    connections: int = 0
    ends_at: datetime | None = None  # honoured until then, whatever is done


@dataclass(slots=True)
class FakeTarget:
    """A target system and its provider in one."""

    clock: Clock
    faults: Callable[[str], Fault | None] = lambda _: None
    latency_s: Callable[[], float] = lambda: 0.0
    held_s: Callable[[], float] = lambda: 1.0
    look_answer_s: Callable[[], float] | None = None  # how long what a look saw travels; else `latency_s`
    down: bool = False
    lasts: timedelta | None = None  # class D: a credential ends by itself, and only so
    lasting_as: Presence = Presence.UNKNOWN  # what a look says of one that lasts
    keeps: bool = False  # only the credential's own secret can end it
    counted: Mapping[str, Counted] | None = None  # by handle, what was used; None: it counts nothing
    accounts: dict[str, Account] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    calls: list[tuple[str, str]] = field(default_factory=list)
    revocation_class: RevocationClass = RevocationClass.A
    _script: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    _made: int = 0

    def fail_next(self, method: str, fault: Fault) -> None:
        """Script the next call of `method`."""
        self._script[method].append(fault)

    def living(self) -> list[Account]:
        """Accounts that exist, and removed ones whose connections live on."""
        now = self.clock.now()
        return [
            one
            for one in self.accounts.values()
            if (not one.removed or one.connections) and (one.ends_at is None or now < one.ends_at)
        ]

    def named(self, handle: str) -> Account | None:
        """The account of that name, if there is one."""
        return next((one for one in self.accounts.values() if one.handle == handle and not one.removed), None)

    def connect(self, handle: str, secret: str) -> bool:
        """Log in with a secret; whether the target let us."""
        account = self.named(handle)
        if account is None or not account.login or account.secret != secret:
            return False
        account.connections += 1
        return True

    # -- the provider ------------------------------------------------------------------
    def check_template(self, template: Mapping[str, object]) -> None:
        """Every template will do."""

    async def issue(self, intent: Intent) -> Issued:
        """Make the account, unless its time has passed on the target's clock."""
        self.sent[intent.handle] += 1
        return await self._send("issue", intent.handle, lambda: self._create(intent))

    async def locate(self, handle: str) -> str | None:
        """The id of the account of that name."""
        await self._reach("locate", handle)
        account = self.named(handle)
        return account.target_id if account else None

    async def freeze(self, ref: Ref) -> None:
        """Shut the login and cut what is connected."""
        fault = await self._reach("freeze", ref.handle)
        account = self._account(ref)
        if account is not None and fault is not Fault.LIE:
            account.login = False
            account.connections = 0
        _lose(fault)

    def check_narrower(self, before: Mapping[str, object], after: Mapping[str, object]) -> None:
        """What `before` does not say may not be added."""
        if not after.items() <= before.items():
            raise Invalid("not_narrower", "the template would add something")

    async def narrow(self, ref: Ref, after: Mapping[str, object]) -> str:
        """Leave the account with no more than `after` says, and look; a target that lies is found out."""
        fault = await self._reach("narrow", ref.handle)
        account = self._account(ref)
        if fault is Fault.LIE:
            raise TargetError("rights_left", "more is there than was left to it")
        if account is not None:
            account.template = {k: v for k, v in account.template.items() if after.get(k) == v}
        _lose(fault)
        return "fake"

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Open the login again under a new secret."""
        return await self._send("thaw", ref.handle, lambda: self._reopen(ref, intent.issue_by))

    async def destroy(self, ref: Ref) -> None:
        """Shut the login, cut what is connected, remove the account; a fault stops half way."""
        fault = await self._reach("destroy", ref.handle)
        account = self._account(ref)
        if account is None or fault is Fault.LIE or account.ends_at is not None:
            return
        if self.keeps and (ref.kept is None or ref.kept.reveal() != account.secret):
            raise TargetError("not_its_own", "only the credential itself may end it", sent=False)
        account.login = False
        await asyncio.sleep(0)
        account.connections = 0
        await asyncio.sleep(0)
        if not account.owns:
            account.removed = True
        _lose(fault)

    async def observe(self, ref: Ref) -> Observation:
        """What is there of the account, by its id when it is known."""
        _lose(await self._reach("observe", ref.handle))
        seen = self._look(ref)
        travels_s = self.look_answer_s or self.latency_s
        await self.clock.sleep(travels_s())  # what was true may be so no more
        return seen

    def _look(self, ref: Ref) -> Observation:
        account = self._account(ref)
        if account is not None and account.ends_at is not None:
            lasting = Lasting("wherever it was copied to", account.ends_at)
            return Observation(self.lasting_as, "as it says", lasting=lasting)
        if account is None or (account.removed and not account.connections):
            return Observation(Presence.ABSENT, "fake, by id" if ref.target_id else "fake, by name")
        detail: dict[str, str | int] = {"login": int(account.login), "backends": account.connections}
        if account.login and not account.removed:
            return Observation(Presence.PRESENT, "fake", detail)
        if account.connections:
            return Observation(Presence.LINGERING, "fake", detail)
        if account.owns:
            return Observation(Presence.QUARANTINED, "fake", {**detail, "owned": "table public.kept"})
        return Observation(Presence.PRESENT, "fake", detail)

    async def count_use(self, ref: Ref, since: datetime) -> Counted | None:
        """What it counted of a credential that was planned at `since`."""
        if self.counted is None:
            return None
        assert since <= self.clock.now()
        _lose(await self._reach("count", ref.handle))
        return self.counted.get(ref.handle, Counted(0, 0))

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Accounts whose names begin with `prefix`."""
        _lose(await self._reach("inventory", prefix))
        found = [one for one in self.accounts.values() if one.handle.startswith(prefix) and not one.removed]
        return [Found(one.handle, one.target_id, None) for one in found]

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """One check, which holds while the target is up."""
        await self._reach("preflight", prefix)
        return [Check("reach", ok=True, took_ms=0.1, detail="it answers")]

    async def close(self) -> None:
        """Nothing is held open."""

    # -- inside ------------------------------------------------------------------------
    async def _send(self, method: str, handle: str, effect: Callable[[], Issued]) -> Issued:
        fault = await self._reach(method, handle)
        if fault is Fault.HELD:
            asyncio.get_running_loop().call_later(self.held_s(), _land, effect)
            raise TargetError("target_lost", "the answer was lost")
        if fault is Fault.SLOW:
            await self.clock.sleep(self.held_s())
        made = effect()
        await self.clock.sleep(self.latency_s())  # the answer travels, too
        _lose(fault)
        return made

    async def _reach(self, method: str, handle: str) -> Fault | None:
        self.calls.append((method, handle))
        script = self._script[method]
        fault = script.popleft() if script else self.faults(method)
        if fault is Fault.UNSENT:
            raise TargetError("target_unreachable", "could not connect", sent=False)
        await self.clock.sleep(self.latency_s())
        if self.down:
            await self.clock.sleep(1.0)
            raise TargetError("target_timeout", "no answer")
        if fault is Fault.NO_EFFECT:
            raise TargetError("target_lost", "the connection broke")
        return fault

    def _create(self, intent: Intent) -> Issued:
        if self.clock.now() >= intent.issue_by:
            raise TargetError("late", "the target refused: too late")
        if self.named(intent.handle) is not None:
            raise TargetError("exists", "the target refused: the name is taken")
        self._made += 1
        account = Account(intent.handle, f"id-{self._made}", f"secret-{self._made}", self.clock.now())
        account.template = intent.template
        account.ends_at = None if self.lasts is None else self.clock.now() + self.lasts
        self.accounts[account.target_id] = account
        return self._shown(account)

    def _reopen(self, ref: Ref, thaw_by: datetime) -> Issued:
        account = self._account(ref)
        if account is None or account.removed or self.clock.now() >= thaw_by:
            raise TargetError("refused", "the target refused to thaw it")
        self._made += 1
        account.secret, account.login = f"secret-{self._made}", True
        return self._shown(account)

    def _shown(self, account: Account) -> Issued:
        keep = Secret(account.secret) if self.keeps else None
        return Issued(account.target_id, {"user": account.handle}, Secret(account.secret), keep)

    def _account(self, ref: Ref) -> Account | None:
        return self.accounts.get(ref.target_id) if ref.target_id is not None else self.named(ref.handle)


class FakeProviders:
    """Every target's provider, by the target's name."""

    def __init__(self, by_name: Mapping[str, Provider]) -> None:
        self._by_name = by_name

    async def of(self, target: Target) -> Provider:
        """The provider of `target`."""
        if target.name not in self._by_name:
            raise TargetError("unknown_provider", f"no provider for `{target.name}`", sent=False)
        return self._by_name[target.name]


class OpenSealer:
    """Seals nothing, and says under which name it did: for tests of who asks for what."""

    def seal(self, name: str, secret: bytes) -> bytes:
        """The name and the secret, side by side."""
        return name.encode() + b"\0" + secret

    def unseal(self, name: str, ciphertext: bytes) -> bytes:
        """The secret, under the name it was sealed under and no other."""
        bound, _, secret = ciphertext.partition(b"\0")
        if bound != name.encode():
            raise Invalid("unsealable", f"what is sealed as `{name}` does not open under this key")
        return secret


def _lose(fault: Fault | None) -> None:
    if fault in (Fault.LOST_ANSWER, Fault.HELD):
        raise TargetError("target_lost", "the answer was lost")


def _land(effect: Callable[[], Issued]) -> None:
    try:
        effect()
    except TargetError:
        return  # the target refused it: too late
