"""A configured trigger: a name at which another system reports, and the kind that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sojourn.core.errors import Conflict
from sojourn.core.ids import TriggerId
from sojourn.core.record import FactKind, RowKind, Step, born, moved


@dataclass(frozen=True, slots=True)
class Trigger:
    """One configured trigger; its secret is sealed and kept elsewhere."""

    id: TriggerId
    version: int
    name: str
    kind: str
    settings: Mapping[str, str]
    added_at: datetime
    added_by: str
    removed_at: datetime | None = None


def add(trigger: Trigger) -> Step[Trigger]:
    """News under its name is heard from now on."""
    return born(FactKind.TRIGGER_ADDED, RowKind.TRIGGER, trigger, trigger.added_at)


def remove(trigger: Trigger, now: datetime) -> Step[Trigger]:
    """News under its name is refused from now on.

    Raises:
        Conflict: code `already_removed`.
    """
    if trigger.removed_at is not None:
        raise Conflict("already_removed", f"trigger `{trigger.name}` was removed before")
    return moved(FactKind.TRIGGER_REMOVED, RowKind.TRIGGER, trigger, now, removed_at=now)


# By which facts of its context a session is known to systems that report ends. An end that was
# reported is kept under the same facts, so that a session opened afterwards finds it.
IDENTIFYING = (
    ("github.repository_id", "github.run_id", "github.run_attempt"),
    ("github.repository_id", "github.check_run_id"),
    ("gitlab.project_id", "gitlab.job_id"),
    ("gitlab.project_id", "gitlab.pipeline_id"),
    ("kubernetes.pod_uid",),
    ("kubernetes.job_uid",),
)


def identifies(match: Mapping[str, str]) -> bool:
    """Whether these are facts by which sessions are known, and so can be found."""
    return any(match.keys() == set(names) for names in IDENTIFYING)


def identities(context: Mapping[str, str]) -> list[dict[str, str]]:
    """Every set of facts by which a session with this context may be reported over."""
    return [
        {name: context[name] for name in names} for names in IDENTIFYING if all(n in context for n in names)
    ]


def matches(match: Mapping[str, str], context: Mapping[str, str]) -> bool:
    """Whether `context` has every fact of `match`; an empty one matches nothing."""
    return bool(match) and all(context.get(name) == value for name, value in match.items())


def mark_of(match: Mapping[str, str]) -> str:
    """One spelling of a set of facts."""
    return "\x1f".join(f"{name}={match[name]}" for name in sorted(match))
