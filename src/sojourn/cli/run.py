"""`sojourn run -- CMD`: the session lives exactly as long as the command.

The key is made here and never leaves memory; the command gets paths. When either ends, so does
the other: the command's whole tree dies with the session, the session with the command.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sojourn.cli.exits import Exit
from sojourn.cli.output import say
from sojourn.cli.run_options import RunOptions, read_options
from sojourn.core.errors import Invalid, SojournError

if TYPE_CHECKING:
    from sojourn.cli.tether import Tether
    from sojourn.client.session import LiveSession


def run(argv: Sequence[str]) -> int:
    """Run a command inside a session; gives the exit code."""
    try:
        options = read_options(argv)
    except Invalid as error:
        say(str(error))
        return Exit.USAGE
    try:
        return _run(options)
    except SojournError as error:
        if options.as_json:
            content = {"error": {"code": error.code, "message": error.message}, "exit": int(Exit.NOT_STARTED)}
            print(json.dumps(content), file=sys.stderr)
            return Exit.NOT_STARTED
        say(f"{error}; the command was not started")
        return Exit.NOT_STARTED
    except OSError as error:
        say(f"local_failure: {error.strerror or type(error).__name__}; the session was ended")
        return Exit.NOT_STARTED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _run(options: RunOptions) -> int:
    from sojourn.cli.hardening import adopt_orphans, forbid_dumps
    from sojourn.cli.tether import Tether

    core = _core_limit()
    forbid_dumps()
    adopt_orphans()
    # Forked before any secret is in memory, and before there are threads.
    tether = Tether.fork(core)
    try:
        return _open_and_run(options, tether)
    finally:
        tether.close()


def _open_and_run(options: RunOptions, tether: Tether) -> int:
    from sojourn.client.session import end_quietly

    live = _open(options)
    from sojourn.cli.supervision import Supervision  # not before the first request has left

    try:
        return Supervision(live, tether, options).run()
    except BaseException:
        end_quietly(live)
        raise


def _open(options: RunOptions) -> LiveSession:
    if options.parent:
        from sojourn.client.below import open_below
        from sojourn.client.session import ChildWish

        return open_below(os.environ, ChildWish(grants=options.grants, duration=options.duration))
    from sojourn.client.evidence import workload_here
    from sojourn.client.session import Wish, open_session

    who = workload_here(
        os.environ,
        server=options.server,
        client=options.client,
        evidence=options.evidence,
        profile=options.profile,
    )
    return open_session(who, Wish(options.kind, options.ref, options.grants, options.duration))


def _core_limit() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_CORE)[0]
