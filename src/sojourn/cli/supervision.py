"""One command and one session, side by side until the first of them ends, then the receipt."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

from sojourn.cli.exits import Exit
from sojourn.cli.keeper import FORWARDED
from sojourn.cli.output import say
from sojourn.cli.receipt import Receipt, await_receipt
from sojourn.cli.run_options import RunOptions
from sojourn.cli.tether import LOST, Tether
from sojourn.cli.tree import kill_all, make_group
from sojourn.cli.workspace import Workspace
from sojourn.client.beat import BeatThread
from sojourn.client.evidence import without_evidence
from sojourn.client.session import LiveSession, end_quietly

RECEIPT_WAIT_S: Final = 10
_LONGEST_END_S: Final = 30.0  # TERM, KILL and a keeper that answers; then we go on without it
_SI_KERNEL: Final = 0x80  # a signal typed at the terminal, which the whole job got already


class Supervision:
    """Runs the command of `options` inside `live`."""

    def __init__(self, live: LiveSession, tether: Tether, options: RunOptions) -> None:
        self._live, self._tether, self._options = live, tether, options
        self._reason: str | None = None
        self._code: int | None = None
        self._hurry = Event()
        self._group = make_group(live.id)
        self._keeper_lost = False
        self._own_session = not os.isatty(0)

    def run(self) -> int:
        """Run to the end; gives the exit code."""
        workspace = Workspace(self._live.id, os.environ)
        try:
            return self._run_in(workspace)
        finally:
            workspace.remove()

    def _run_in(self, workspace: Workspace) -> int:
        from sojourn.client.proxy import Proxy

        options, live = self._options, self._live
        workspace.write(live.credentials)
        proxy = Proxy(
            workspace.socket, live, options.addresses, on_resumed=lambda: workspace.write(live.credentials)
        )
        added = workspace.environment(live.credentials, secrets=options.secrets_in_env)
        beats = BeatThread(live, self._on_end, on_heard=self._tether.hold)
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        self._tether.start(
            options.command,
            {**without_evidence(os.environ), **added},
            group=self._group,
            own_session=self._own_session,
            folder=workspace.folder,
        )
        beats.start()
        proxy.start()
        Thread(target=self._pass_signals_on, name="signals", daemon=True).start()
        try:
            self._follow(self._until_exit, forever=True)
        finally:
            proxy.cut()
            beats.stop()
        return self._finish(proxy_stop=proxy.stop)

    def _follow(self, seen: Callable[[object], bool], *, forever: bool) -> None:
        """Handle events until `seen` says that it is enough."""
        left = _LONGEST_END_S
        while forever or left > 0:
            try:
                event = self._tether.events.get(timeout=1.0)
            except queue.Empty:
                left -= 1.0
                continue
            if LOST in event:
                self._keeper_lost = True
                kill_all(os.getpid(), self._group)
                return
            if seen(event):
                return

    def _until_exit(self, event: object) -> bool:
        match event:
            case {"exit": int(code)}:
                self._code = code
                return True
            case {"over": True}:
                self._tether.end()
                return True
            case _:
                return False

    def _until_gone(self, event: object) -> bool:
        match event:
            case {"exit": int(code)} if self._code is None:
                self._code = code
            case {"gone": int()}:
                return True
            case _:
                pass
        return False

    def _on_end(self, reason: str) -> None:
        self._reason = reason
        say(f"session {self._live.id} is over ({reason}): ending the command")
        self._tether.events.put({"over": True}, timeout=10)

    def _pass_signals_on(self) -> None:
        while True:
            got = signal.sigtimedwait(FORWARDED, 1.0)
            if got is None:
                continue
            if self._code is not None and got.si_signo in (signal.SIGINT, signal.SIGTERM):
                self._hurry.set()
            if self._own_session or got.si_code != _SI_KERNEL:
                self._tether.signal(got.si_signo)

    def _finish(self, *, proxy_stop: Callable[[], None]) -> int:
        ended_under = self._reason is not None
        ender = Thread(target=end_quietly, args=(self._live,), daemon=True)
        ender.start()
        if not self._keeper_lost:
            self._follow(self._until_gone, forever=False)
        proxy_stop()
        ender.join(RECEIPT_WAIT_S)
        self._show_receipt()
        if ended_under:
            return Exit.SESSION_ENDED
        return self._code if self._code is not None else Exit.ERROR

    def _show_receipt(self) -> None:
        if self._options.quiet:
            return
        found: list[Receipt | Exception] = []
        asker = Thread(
            target=lambda: found.append(await_receipt(self._live, wait_s=RECEIPT_WAIT_S)), daemon=True
        )
        asker.start()
        while asker.is_alive() and not self._hurry.is_set():
            asker.join(0.1)
        receipt = found[0] if found else None
        if isinstance(receipt, Receipt):
            self._print(receipt)
            return
        say(f"no receipt: {receipt or 'interrupted'}; the server ends session {self._live.id} all the same")

    def _print(self, receipt: Receipt) -> None:
        if self._options.as_json:
            print(json.dumps(receipt.to_json()), file=sys.stderr, flush=True)
            return
        for line in receipt.lines():
            say(line)
