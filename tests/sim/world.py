"""A whole deployment in one virtual second: processes that crash, targets that fail, a store.

A process reaches the store and the targets only through its gate. When it dies the gate
shuts; a request that was on the wire may land all the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from typing import Any, Final, cast

from sojourn.adapters.waking_store import Wake, waking
from sojourn.config import Settings
from sojourn.core.change import Change
from sojourn.core.charter import Charter, ChildRule, Phase, Renewals, apply
from sojourn.core.client import Client, Role, register
from sojourn.core.errors import SojournError
from sojourn.core.family import ChildWish
from sojourn.core.ids import CharterId, ClientId, OwnerId, SessionId, TargetId
from sojourn.core.scope import AudienceGrant, TargetGrant, collect
from sojourn.core.session import BeatRule, Session, State, Task
from sojourn.core.target import Target, TargetState, add, preflighted
from sojourn.ports.attestor import Evidence
from sojourn.ports.provider import Provider
from sojourn.ports.store import Store
from sojourn.services._kept import KeptSecrets
from sojourn.services._status_places import StatusPlaces
from sojourn.services.activate_session import ActivateSession, Activation
from sojourn.services.announce_revocations import AnnounceRevocations
from sojourn.services.beat_book import BeatBook
from sojourn.services.beat_session import BeatSession
from sojourn.services.complete_session import CompleteSession
from sojourn.services.end_session import EndSession
from sojourn.services.enter_phase import EnterPhase
from sojourn.services.lower_grants import LowerGrants
from sojourn.services.mint_tokens import MintTokens
from sojourn.services.narrow_session import NarrowSession
from sojourn.services.open_child import ChildRequest, OpenChild
from sojourn.services.open_session import OpenRequest, OpenSession
from sojourn.services.reap_leases import ReapLeases
from sojourn.services.reattest_session import ReattestSession
from sojourn.services.resume_session import ResumeSession
from sojourn.services.suspend_session import SuspendSession
from sojourn.services.sweep_deadlines import SweepDeadlines
from sojourn.testing.clock import LoopClock, SeededEntropy
from sojourn.testing.fakes import FakeProviders, FakeTarget, Fault, OpenSealer
from sojourn.testing.memory_store import MemoryStore
from tests.sim.gates import Crashed, GateProvider, GateStore, forget_error
from tests.sim.laws import Laws, RecordingSigner
from tests.sim.vouch import Vouch

KEY: Final = "thumbprint-of-the-session-key"
SEND_FAULTS: Final = (Fault.UNSENT, Fault.NO_EFFECT, Fault.LOST_ANSWER, Fault.HELD)
TEMPLATES: Final[Mapping[str, Mapping[str, object]]] = {
    "reader": {"names": "read", "notes": "write"},
    "halved": {"names": "read"},
    "barred": {},
}
CALL_FAULTS: Final = (Fault.UNSENT, Fault.NO_EFFECT, Fault.LOST_ANSWER, Fault.LIE)


class QuietBell:
    """A bell that nobody waits for."""

    def ring(self, n: int) -> None:
        """Nobody hears it."""

    async def wait_beyond(self, n: int, timeout_s: float) -> None:
        """Return at once."""


class Node:
    """One process of ours: the services over its own gates, and its tasks."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.dead = world, name, False
        self.tasks: list[asyncio.Task[Any]] = []
        self.wake = Wake()
        clock, entropy, settings = world.clock, world.entropy, world.settings
        store = self.store = waking(cast("Store", GateStore(world, self)), self.wake)
        gates = {
            name: cast("Provider", GateProvider(world, self, one)) for name, one in world.targets.items()
        }
        providers = self.providers = FakeProviders(gates)
        self.vouch = Vouch(world.client)
        attestors = {"test": self.vouch}
        mint = MintTokens(world.signer, clock, entropy, settings.issuer)
        self.beats = BeatBook(store)
        end = self.end = world.make_end(store)
        kept = KeptSecrets(store, OpenSealer())
        places = StatusPlaces(store, clock, entropy)
        self.open = OpenSession(store, clock, entropy, attestors, settings=settings, places=places)
        self.open_child = world.make_open_child(store)
        self.activate = ActivateSession(
            store,
            clock,
            entropy,
            providers=providers,
            tokens=mint,
            end=self.end,
            settings=settings,
            kept=kept,
            places=places,
        )
        self.narrow = NarrowSession(store, clock, entropy, settings)
        self.suspend = SuspendSession(store, clock, entropy, settings)
        self.reattest = reattest = ReattestSession(store, clock, attestors, end=end, suspend=self.suspend)
        self.beat = BeatSession(store, clock, mint, self.beats, reattest=reattest, end=self.end)
        self.resume = ResumeSession(
            store,
            clock,
            entropy,
            reattest=reattest,
            providers=providers,
            tokens=mint,
            end=end,
            settings=settings,
            kept=kept,
        )
        self.complete, self.announce = CompleteSession(store, end), AnnounceRevocations(store, QuietBell())
        self.reap = ReapLeases(store, clock, providers, settings, holder=name, kept=kept, look_every_s=5.0)
        world.break_reaper(self.reap)
        now, beats = clock.now(), self.beats
        self.sweep = SweepDeadlines(store, clock, end, self.suspend, started_at=now, beats=beats)

    async def lower(self, session: SessionId, templates: Mapping[str, str]) -> Session:
        """Make grants of lesser templates."""
        world = self.world
        lower = LowerGrants(
            self.store, world.clock, world.entropy, providers=self.providers, settings=world.settings
        )
        return await lower(session, templates)

    async def enter_phase(self, session: SessionId, name: str) -> Session:
        """Go on to a phase of the charter."""
        return await EnterPhase(self.store, self.world.clock, self.narrow)(session, name)

    def require_alive(self) -> None:
        """Nothing goes on in a dead process."""
        if self.dead:
            raise Crashed

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` in this process."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(forget_error)
        self.tasks.append(task)
        return task

    def start_worker(self) -> None:
        """Start the loops that keep promises."""
        self.spawn(self._for_ever(self._reap_once))
        self.spawn(self._for_ever(self._sweep_once))

    async def _for_ever(self, once: Any) -> None:
        while True:
            try:
                await once()
            except SojournError:
                await self.world.clock.sleep(0.5)
            except BaseExceptionGroup as group:
                if group.split(SojournError)[1] is not None:
                    raise
                await self.world.clock.sleep(0.5)

    async def _reap_once(self) -> None:
        await self.reap.run(self.wake.errands)

    async def _sweep_once(self) -> None:
        await self.sweep.run_once()
        await self.world.clock.sleep(self.world.sweep_every_s)

    def crash(self) -> None:
        """Die between two instructions."""
        self.dead = True
        for task in self.tasks:
            task.cancel()

    async def stop(self) -> None:
        """Die, and see every task gone."""
        self.crash()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class World:
    """Everything there is in one simulation."""

    def __init__(self, seed: int, mutant: str = "") -> None:
        self.seed = seed
        self.mutant = mutant
        self.rng = random.Random(seed)
        self.clock = LoopClock()
        self.entropy = SeededEntropy(seed, self.clock)
        self.settings = Settings(issuer="http://sim")
        self.store = MemoryStore()
        self.store_fails = 0.0
        self.call_fails = 0.0
        self.sweep_every_s = 1.0
        self.targets = {name: self._target() for name in ("shop", "mail")}
        self.signer = RecordingSigner()
        self.laws = Laws(self.store, self.targets, self.signer, self.clock)
        self.store.watches.append(self.laws.after_commit)
        self.processes: list[Node] = []
        self.now = self.clock

    def _target(self) -> FakeTarget:
        return FakeTarget(
            self.clock,
            faults=self._fault,
            latency_s=lambda: self.rng.random() * 0.02,
            held_s=lambda: self.rng.random() * 5,
        )

    def slow_down(self) -> None:
        """From now on every issue is answered late, and so is every look."""
        for target in self.targets.values():
            target.look_answer_s = lambda: self.rng.random() * 3
            target.faults = lambda method: Fault.SLOW if method == "issue" else self._fault(method)

    def _fault(self, method: str) -> Fault | None:
        if self.rng.random() >= self.call_fails:
            return None
        return self.rng.choice(SEND_FAULTS if method in ("issue", "thaw") else CALL_FAULTS)

    # -- replaceable parts, for mutants ------------------------------------------------
    def make_end(self, store: Store) -> EndSession:
        """The one door out."""
        return EndSession(store, self.clock, self.entropy, self.settings)

    def make_open_child(self, store: Store) -> OpenChild:
        """The door into a family."""
        places = StatusPlaces(store, self.clock, self.entropy)
        return OpenChild(store, self.clock, self.entropy, self.settings, places=places)

    def break_reaper(self, reap: ReapLeases) -> None:
        """Nothing is broken, unless a mutant says so."""

    # -- setting up --------------------------------------------------------------------
    async def furnish(self, *, beat: BeatRule | None = None, renewals: int = 1) -> None:
        """One workload, one charter, two ready targets."""
        now = self.clock.now()
        self.client = Client(
            ClientId("cli_1"), 1, "job", Role.WORKLOAD, OwnerId("team"), {"kty": "EC"}, "thumb", now
        )
        charter = Charter(
            id=CharterId("cha_1"),
            version=1,
            name="demo",
            number=1,
            owner=OwnerId("team"),
            clients=("job",),
            grants=collect(
                [
                    TargetGrant("db", "shop", "reader"),
                    TargetGrant("post", "mail", "reader"),
                    AudienceGrant("api", "https://api", ("read", "write")),
                ]
            ),
            default_duration=timedelta(seconds=20),
            longest=timedelta(minutes=20),
            beat=beat or BeatRule(timedelta(seconds=300), timedelta(seconds=600)),
            renewals=Renewals(renewals, timedelta(seconds=10)),
            applied_at=now,
            applied_by="ops",
            children=ChildRule(depth=3, fan_out=2),
            phases=(Phase("gather", ("db", "post", "api")), Phase("send", ("post", "api"))),
        )
        await self.store.commit(Change(steps=(register(self.client), apply(charter))))
        for name in self.targets:
            target = Target(
                TargetId(f"tgt_{name}"), 1, TargetState.UNTRIED, name, "fake", {}, TEMPLATES, "A", now
            )
            step = add(target)
            await self.store.commit(Change(steps=(step.then(preflighted(step.row, passed=True, now=now)),)))

    def start(self, *, worker: bool = True) -> Node:
        """Start a process."""
        process = Node(self, f"p{len(self.processes)}")
        self.processes.append(process)
        if worker:
            process.start_worker()
        return process

    # -- what workloads and operators do -----------------------------------------------
    def ask(self, *grants: str, seconds: float | None = None) -> OpenRequest:
        """A request for a session."""
        duration = timedelta(seconds=seconds) if seconds is not None else None
        return OpenRequest(Evidence("test", ""), Task("demo", "1"), grants, duration, {}, KEY)

    async def open(self, process: Node, *grants: str, seconds: float | None = None) -> Activation:
        """Open and activate, and connect with what was given."""
        opening = await process.open(self.ask(*grants, seconds=seconds))
        activation = await process.activate(opening.session)
        self.use(activation)
        return activation

    async def open_child(self, process: Node, parent: Session, *grants: str) -> Activation:
        """Open and activate a child of `parent`, and connect with what was given."""
        asked = ChildRequest(f"{KEY}-{self.rng.getrandbits(40):x}", wish=ChildWish(grants))
        opening = await process.open_child(parent.id, parent.key, asked)
        activation = await process.activate(opening.session)
        self.use(activation)
        return activation

    def use(self, activation: Activation) -> int:
        """Connect with every credential that was handed out."""
        return sum(
            self.targets[one.target].connect(one.connection["user"], one.secret.reveal())
            for one in activation.credentials
        )

    async def pause(self, most_s: float) -> None:
        """Wait for up to `most_s`, often not at all."""
        if self.rng.random() < 0.5:
            for _ in range(self.rng.randrange(12)):
                await asyncio.sleep(0)
            return
        await self.clock.sleep(self.rng.random() * most_s)

    # -- the end of a simulation -------------------------------------------------------
    async def heal(self, *, within_s: float = 200.0) -> None:
        """Let everything work again, and wait until nothing is left to do."""
        self.store_fails = self.call_fails = 0.0
        for target in self.targets.values():
            target.down = False
            for account in target.accounts.values():
                account.owns = False
        if not any(not process.dead and process.tasks for process in self.processes):
            self.start()
        deadline = self.clock.monotonic() + within_s
        while self.clock.monotonic() < deadline and not self.is_quiet():
            await self.clock.sleep(1.0)
        await self.clock.sleep(6.0)  # whatever was held back on the wire lands now, or never
        for process in self.processes:
            await process.stop()

    def is_quiet(self) -> bool:
        """Whether every session has ended and no errand is left."""
        ended = all(one.state is State.ENDED for one in self.store.all_sessions())
        return ended and not self.store.errands

    def trace(self) -> str:
        """A digest of everything that happened, in order."""
        lines = (f"{fact.at} {fact.kind} {fact.id}" for fact in self.store.facts)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def living(world: World) -> list[Session]:
    """Sessions that have not begun to end."""
    return [one for one in world.store.all_sessions() if one.state in (State.ACTIVE, State.SUSPENDED)]
