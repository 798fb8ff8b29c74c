"""What a later charter or policy no longer allows is taken from living sessions, and only that."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sojourn.adapters.cedar_policy import CedarEngine
from sojourn.core.calendar import Hours
from sojourn.core.change import Change
from sojourn.core.charter import Charter, OnClose, Opener, WindowRule, apply
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Refused, Unavailable
from sojourn.core.ids import CHARTER, CharterId, from_uuid
from sojourn.core.scope import AudienceGrant, Grants, TargetGrant
from sojourn.core.session import Session, State
from sojourn.core.window import Window
from sojourn.services.change_windows import ChangeWindows
from sojourn.services.keep_allowed import KeepAllowed
from sojourn.services.policy_book import PolicyBook
from sojourn.services.reevaluate_sessions import CALENDARS_EVERY_S, ReevaluateSessions
from tests.services.rig import play
from tests.services.test_policies import ALL, write
from tests.sim.scenarios import EVIDENCE
from tests.sim.world import KEY, Node, World

DB = TargetGrant("db", "shop", "reader")
API = AudienceGrant("api", "https://api", ("read", "write"))


class Hung:
    """A calendar on a wall: one span, or none that can be read."""

    def __init__(self) -> None:
        self.span: Window | None = None

    async def hours(self, name: str) -> Hours:
        if self.span is None:
            raise Unavailable("calendar_unavailable", "nobody hung it up")
        always = datetime(2020, 1, 1, tzinfo=UTC)
        return Hours(name, (self.span,), always, always, "digest", "2026a")


def rules_of(world: World, process: Node, wall: Hung | None = None) -> ReevaluateSessions:
    book = PolicyBook(world.store, world.clock, CedarEngine())
    keep = KeepAllowed(book, world.clock, end=process.end, suspend=process.suspend)
    return ReevaluateSessions(
        world.store,
        world.clock,
        book=book,
        windows=ChangeWindows(world.store, wall or Hung()),
        keep=keep,
        narrow=process.narrow,
        end=process.end,
        suspend=process.suspend,
    )


async def next_version(world: World, **changes: Any) -> Charter:
    held = await world.store.charter("demo")
    assert held is not None
    made = CharterId(from_uuid(CHARTER, world.entropy.uuid7()))
    fresh = replace(held, id=made, number=held.number + 1, **changes)
    await world.store.commit(Change(steps=(apply(fresh),)))
    return fresh


async def now_of(world: World, session: Session) -> Session:
    found = await world.store.session(session.id)
    assert found is not None
    return found


@pytest.mark.parametrize("outlasts_the_window", [False, True])
def test_slow_rules_take_nothing_of_the_time_to_thaw_and_stretch_no_window(outlasts_the_window: bool) -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process, "db")).session
        await process.suspend(live.id, Cause(Reason.SUSPENDED, "ops"))
        while await process.reap.run_once():
            pass

        async def slow(_: Session) -> None:
            fences = 20 if outlasts_the_window else 2
            await world.clock.sleep(fences * world.settings.issue_fence.total_seconds())

        process.resume._keep = slow  # type: ignore[assignment]  # rules that are slow, whatever they say
        if outlasts_the_window:
            with pytest.raises(Refused, match="window_closed"):
                await process.resume(live.id, EVIDENCE, KEY)
            assert (await now_of(world, live)).state is State.SUSPENDED
            return
        again = await process.resume(live.id, EVIDENCE, KEY)

        assert again.session.state is State.ACTIVE and len(again.credentials) == 1

    play(story)


def test_nothing_changes_for_who_changes_nothing() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process)).session
        rules = rules_of(world, process)

        assert [await rules.run_once() for _ in range(3)] == [0, 0, 0]
        assert await now_of(world, live) == live

    play(story)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"grants": Grants((DB,), (API,))}, {"db", "api"}),
        ({"grants": Grants((DB,))}, {"db"}),
        ({"grants": Grants((replace(DB, target="mail"),), (API,))}, {"api"}),
        ({"grants": Grants((replace(DB, template="writer"),), (API,))}, {"api"}),
        ({"grants": Grants((replace(DB, at_least="A"),), (API,))}, {"db", "api"}),
        ({"grants": Grants((DB,), (replace(API, audience="https://other"),))}, {"db"}),
    ],
)
def test_grants_that_are_no_longer_offered_are_taken_away(changes: dict[str, Any], left: set[str]) -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process, "db", "api")).session
        rules = rules_of(world, process)
        await rules.run_once()
        await next_version(world, **changes)

        await rules.run_once()

        after = await now_of(world, live)
        assert after.state is State.ACTIVE
        assert after.grants.names() == left
        assert await rules.run_once() == 0

    play(story)


def test_single_actions_are_taken_away_by_charter_and_by_policy() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process, "api", "db")).session
        await next_version(world, grants=Grants((DB,), (replace(API, actions=("read",)),)))
        await rules_of(world, process).run_once()
        assert (await now_of(world, live)).grants.actions_at("https://api") == ("read",)

        await write(
            world,
            ALL + '@id("mute") forbid (principal, action == Sojourn::Action::"use", resource);',
            1,
        )
        await rules_of(world, process).run_once()

        after = await now_of(world, live)
        assert after.grants.names() == {"db"}
        assert after.generation == 3

    play(story)


@pytest.mark.parametrize(
    "changes",
    [
        {"clients": ("somebody",)},
        {"clients": (), "openers": (Opener("job", {"github.sha": "abc"}),)},
        {"grants": Grants((replace(DB, name="other"),))},
    ],
    ids=["client no longer named", "facts that were not observed", "none of its grants"],
)
def test_a_session_that_may_not_be_at_all_is_ended(changes: dict[str, Any]) -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process)).session
        await next_version(world, **changes)

        await rules_of(world, process).run_once()

        after = await now_of(world, live)
        assert after.state is State.REVOKING
        assert after.cause is not None and after.cause.reason is Reason.POLICY_CHANGED

    play(story)


def test_a_shorter_life_is_cut_and_a_longer_one_gives_nothing() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process, seconds=600)).session
        await next_version(world, longest=timedelta(minutes=19))
        await rules_of(world, process).run_once()
        assert (await now_of(world, live)).window == live.window

        await next_version(world, longest=timedelta(minutes=2))
        await rules_of(world, process).run_once()

        after = await now_of(world, live)
        assert after.window.closes == live.window.opens + timedelta(minutes=2)
        assert after.last_end == after.window.closes

    play(story)


def test_a_pass_that_fails_is_made_again() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process)).session
        rules = rules_of(world, process)
        await next_version(world, clients=("somebody",))
        family = world.store.family

        async def silent(_root: object) -> Any:
            raise Unavailable("store_unavailable", "no answer")

        world.store.family = silent  # type: ignore[method-assign, assignment]
        assert await rules.run_once() == 0
        world.store.family = family  # type: ignore[method-assign]
        assert await rules.run_once() == 0, "not at once"
        await world.clock.sleep(6)

        assert await rules.run_once() == 1
        assert (await now_of(world, live)).state is State.REVOKING

    play(story)


def window_of(on_close: OnClose) -> WindowRule:
    return WindowRule("change", None, on_close)


@pytest.mark.parametrize(
    ("on_close", "state"), [(OnClose.END, State.REVOKING), (OnClose.SUSPEND, State.SUSPENDED)]
)
def test_a_calendar_that_closes_early_reaches_living_sessions(on_close: OnClose, state: State) -> None:
    async def story(world: World, process: Node) -> None:
        wall = Hung()
        live = (await world.open(process, seconds=600)).session
        rules = rules_of(world, process, wall)
        await next_version(world, window=window_of(on_close))
        await rules.run_once()
        assert (await now_of(world, live)).state is State.ACTIVE, (
            "a calendar that cannot be read ends nothing"
        )

        past = world.clock.now() - timedelta(hours=2)
        wall.span = Window(past, past + timedelta(hours=1))
        assert await rules.run_once() == 0, "calendars are asked every half minute"
        await world.clock.sleep(CALENDARS_EVERY_S)
        await rules.run_once()

        after = await now_of(world, live)
        assert after.state is state
        assert after.cause is not None and after.cause.reason is Reason.WINDOW_CLOSED

    play(story)


def test_a_calendar_that_now_closes_sooner_cuts_the_window() -> None:
    async def story(world: World, process: Node) -> None:
        wall = Hung()
        live = (await world.open(process, seconds=600)).session
        closes = world.clock.now() + timedelta(seconds=100)
        wall.span = Window(closes - timedelta(hours=1), closes)
        await next_version(world, window=window_of(OnClose.END))

        await rules_of(world, process, wall).run_once()

        assert (await now_of(world, live)).window.closes == closes

    play(story)


def test_policies_that_ask_for_it_suspend_and_the_others_end() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process)).session
        head = 'forbid (principal, action == Sojourn::Action::"continue", resource)'
        rules = rules_of(world, process)
        await write(world, ALL + f'@id("drill") @otherwise("suspend") {head};', 1)
        await rules.run_once()
        assert (await now_of(world, live)).state is State.SUSPENDED
        await write(world, ALL + f'@id("drill") @otherwise("suspend") {head}; @id("over") {head};', 2)
        await world.clock.sleep(2)

        await rules.run_once()

        after = await now_of(world, live)
        assert after.state is State.REVOKING
        assert after.cause is not None and "over" in after.cause.detail

    play(story)
