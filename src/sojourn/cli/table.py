"""Every command but `run`, as one table; imported only when one of them is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from sojourn.cli import (
    approvals,
    charters,
    clients,
    evidence,
    hooks,
    keys,
    kills,
    manage,
    policies,
    reviews,
    serve,
    targets,
    triggers,
)
from sojourn.cli.discover import discover
from sojourn.cli.doctor import doctor
from sojourn.cli.examples import example
from sojourn.cli.exits import Exit
from sojourn.cli.output import say
from sojourn.cli.phase import phase
from sojourn.cli.signer import signer
from sojourn.cli.usage import usage
from sojourn.cli.version import installed_version


def build() -> App:
    """The table."""
    app = App(
        name="sojourn",
        help="Access for machines that is bound to one task and provably ends with it.",
        version=installed_version(),
    )
    groups = (
        reviews.app,
        targets.app,
        charters.app,
        policies.app,
        clients.app,
        triggers.app,
        hooks.app,
        keys.app,
    )
    for group in groups:
        app.command(group)
    app.command(discover)
    for function in (
        clients.login,
        evidence.evidence,
        evidence.verify,
        doctor,
        serve.serve,
        serve.dev,
        signer,
    ):
        app.command(function)
    for answer in (approvals.requests, approvals.approve, approvals.deny, approvals.withdraw):
        _add_once(manage.app, answer)
    _add_once(manage.app, usage)
    _add_once(charters.app, approvals.ask)
    app.command(kills.offboard)
    app.command(phase)
    app.command(run)
    app.command(example)
    app.command(_completion_of(app), name="completion")
    return app


def _add_once(group: App, function: Callable[..., int]) -> None:
    """Put a command into a group, which keeps it when the table is built again in this process."""
    if function.__name__ not in group:
        group.command(function)


def run(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Run a command inside a session; see `sojourn run --help`."""
    from sojourn.cli.run import run as run_it

    return run_it(words)


def run_table(words: Sequence[str]) -> int:
    """Run one command of the table; gives the exit code."""
    app = build()
    try:
        found = app(list(words), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        say(f"usage: {str(error).strip()}")
        return Exit.USAGE
    return int(found) if isinstance(found, int) else Exit.OK


def _completion_of(app: App) -> Callable[[Literal["bash", "zsh", "fish"]], int]:
    def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
        """Print a completion script for your shell."""
        print(app.generate_completion(shell=shell))
        return Exit.OK

    return completion
