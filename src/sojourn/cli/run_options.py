"""What may be typed after `sojourn run`. The standard library only: every millisecond counts here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sojourn.cli.duration import parse_duration
from sojourn.core.errors import Invalid


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One call of `sojourn run`, understood."""

    kind: str
    ref: str
    grants: tuple[str, ...] | None
    duration: timedelta | None
    command: tuple[str, ...]
    addresses: dict[str, str]
    profile: str | None
    server: str | None
    client: str | None
    evidence: str | None
    parent: bool
    secrets_in_env: bool
    as_json: bool
    quiet: bool


def run_parser() -> argparse.ArgumentParser:
    """The parser of `sojourn run`."""
    parser = argparse.ArgumentParser(
        prog="sojourn run",
        description="Run a command inside a session: access begins with it and provably ends with it.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--task",
        metavar="KIND[:REF]",
        help="what the session is for; KIND picks the charter",
    )
    add(
        "--grant",
        metavar="NAME",
        action="append",
        help="a grant of the charter (again for more; none means all)",
    )
    add("--for", metavar="DURATION", dest="duration", help="how long at most, such as 30m")
    add("--api", metavar="NAME=URL", action="append", default=[], help="where the audience NAME is served")
    add("--env", action="store_true", help="put the first credential into the command's environment, too")
    add("--profile", metavar="PATH", help="the workload's profile")
    add("--server", metavar="URL", help="the control plane, where the platform vouches for the workload")
    add("--client", metavar="NAME", help="the client whose rule fits this workload; goes with --server")
    add("--evidence", metavar="TYPE:FILE", help="what shows the workload, kept fresh by others")
    add("--parent", action="store_true", help="open a child of the session this command runs in")
    add("--json", action="store_true", help="write the receipt as one JSON line to standard error")
    add("--quiet", action="store_true", help="write no receipt")
    add("command", nargs="*", metavar="-- CMD", help="the command and its arguments")
    return parser


def read_options(argv: Sequence[str]) -> RunOptions:
    """Understand `argv`; the command begins after the first `--`, or at the first plain word.

    Raises:
        Invalid: a code that begins with `usage`.
        SystemExit: argparse answered already.
    """
    own, command = _split(argv)
    found = run_parser().parse_args(own)
    command = command or found.command
    if not command:
        raise Invalid("usage_command", "expected a command: `sojourn run --task KIND:REF -- CMD …`")
    if found.parent and (found.task or found.profile):
        raise Invalid(
            "usage_parent", "a child has its parent's task and profile: leave `--task` and `--profile` out"
        )
    kind, _, ref = (found.task or "default").partition(":")
    return RunOptions(
        kind=kind,
        ref=ref or "-",
        grants=None if found.grant is None else tuple(found.grant),
        duration=None if found.duration is None else parse_duration(found.duration),
        command=tuple(command),
        addresses=dict(_address(pair) for pair in found.api),
        profile=found.profile,
        server=found.server,
        client=found.client,
        evidence=found.evidence,
        parent=found.parent,
        secrets_in_env=found.env,
        as_json=found.json,
        quiet=found.quiet,
    )


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    if "--" not in argv:
        return list(argv), []
    at = list(argv).index("--")
    return list(argv[:at]), list(argv[at + 1 :])


def _address(pair: str) -> tuple[str, str]:
    name, equals, url = pair.partition("=")
    if not (name and equals and "://" in url):
        raise Invalid("usage_api", f"expected `--api NAME=URL`, got `{pair[:80]}`")
    return name, url
