"""A store on SQLite, hooks on it, and a receiver that answers what it is told to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemEntropy
from sojourn.config import Settings
from sojourn.core.approval import Approval, ask
from sojourn.core.change import Change
from sojourn.core.charter import ApprovalRule
from sojourn.core.client import Client, Role, register
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Unavailable
from sojourn.core.hook import EVENTS, Hook
from sojourn.core.ids import CLIENT, SESSION, ApprovalId, ClientId, OwnerId, SessionId, from_uuid
from sojourn.core.secret import Secret
from sojourn.core.session import Session, activate, approve, request
from sojourn.core.window import Window
from sojourn.services._asking import request_for
from sojourn.services.add_hook import AddHook
from sojourn.services.answer_by_hook import AnswerByHook
from sojourn.services.approve_session import ApproveSession
from sojourn.services.end_session import EndSession
from sojourn.services.suspend_session import SuspendSession
from sojourn.services.tell_hooks import TellHooks
from tests.rig.poll import pace
from tests.rig.store import START, a_session

ISSUER, URL = "https://sojourn.example", "https://chat.example/in"
RULE = ApprovalRule(1, ("ada", "mallory", "owner"), timedelta(minutes=10), timedelta(minutes=5))


class Hand:
    """A clock that is moved by hand; sleeping moves it, too."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        await pace(0.005)
        self.at += timedelta(seconds=seconds)


class Sealing:
    """Seals by turning round."""

    def seal(self, name: str, secret: bytes) -> bytes:
        return name.encode() + b"|" + secret[::-1]

    def unseal(self, name: str, ciphertext: bytes) -> bytes:
        assert ciphertext.startswith(name.encode())
        return ciphertext.partition(b"|")[2][::-1]


@dataclass
class Receiver:
    """Answers with the statuses it is given, then 204; a status of 0 is no answer at all."""

    clock: Hand
    script: list[int] = field(default_factory=list)
    got: list[tuple[datetime, Mapping[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        assert url == URL
        self.got.append((self.clock.now(), headers, body))
        status = self.script.pop(0) if self.script else 204
        if status == 0:
            raise Unavailable("unreachable_hook", "nobody is there")
        return status


class World:
    """One deployment with a chat that it tells, and that brings answers."""

    def __init__(self, store: SqlStore) -> None:
        self.store, self.clock, self.entropy = store, Hand(), SystemEntropy()
        self.end = EndSession(store, self.clock, self.entropy, Settings(ISSUER))
        self.suspends = SuspendSession(store, self.clock, self.entropy, Settings(ISSUER))
        self.approve = ApproveSession(store, self.clock, self.entropy, self.end)
        self.hooks = AddHook(store, self.clock, self.entropy, Sealing())
        self.answers = AnswerByHook(store, self.clock, self.approve, Sealing())
        self.receiver = Receiver(self.clock)
        self.people: dict[str, Client] = {}
        self.secret = Secret("")

    def node(self, holder: str = "node") -> TellHooks:
        """What one process tells with."""
        return TellHooks(
            self.store, self.clock, self.receiver, sealer=Sealing(), issuer=ISSUER, holder=holder
        )

    async def furnish(self, *events: str, answers: bool = True) -> Hook:
        for name, owner in (("ada", "ops"), ("mallory", "team"), ("carol", "shop"), ("eve", "ops")):
            await self.enrol(name, owner)
        await self.enrol("runner", "team", Role.WORKLOAD)
        chosen = events or tuple(str(one) for one in EVENTS)
        hook, self.secret = await self.hooks("chat", URL, events=chosen, answers=answers, by="ada")
        return hook

    async def enrol(self, name: str, owner: str, role: Role = Role.OPERATOR) -> Client:
        made = ClientId(from_uuid(CLIENT, self.entropy.uuid7()))
        key = f"thumb-{name}"
        client = Client(made, 1, name, role, OwnerId(owner), {"kty": "EC"}, key, self.clock.now())
        await self.store.commit(Change(steps=(register(client),)))
        self.people[name] = client
        return client

    async def wish(self) -> tuple[Session, Approval]:
        """A session that waits for people."""
        runner, now = self.people["runner"], self.clock.now()
        made = SessionId(from_uuid(SESSION, self.entropy.uuid7()))
        window = Window(now, now + timedelta(minutes=5))
        wanted = replace(
            a_session(1),
            id=made,
            client=runner.id,
            owner=OwnerId("shop"),
            window=window,
            last_end=window.closes,
            requested_at=now,
        )
        waiting, asked = request_for(wanted, runner, RULE, self.entropy)
        await self.store.commit(Change(steps=(request(waiting), ask(asked))))
        return waiting, asked

    async def active(self) -> Session:
        """A session that works."""
        waiting, _ = await self.wish()
        now = self.clock.now()
        step = activate(approve(waiting, "charter", now).row, now)
        granted = approve(waiting, "charter", now).then(step)
        await self.store.commit(Change(steps=(granted,)))
        return granted.row

    async def suspend(self, session: Session) -> None:
        await self.suspends(session.id, Cause(Reason.SUSPENDED, "client:ada"))

    async def kill(self, session: Session) -> None:
        await self.end(session.id, Cause(Reason.KILLED, "client:ada", "enough"))

    async def found(self, asked: ApprovalId) -> Approval:
        approval = await self.store.approval(asked)
        assert approval is not None
        return approval
