"""`sojourn evidence` fetches a session's bundle, `sojourn verify` checks one offline."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson
from sojourn.cli.manage import Profile as Chosen
from sojourn.cli.output import show_json
from sojourn.client.profile import load_profile, profile_path
from sojourn.core.errors import SojournError
from sojourn.ledger.verdict import Result, Verdict

_LARGEST: Final = 64 << 20


def evidence(
    session: str,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Where the bundle goes; default: standard output.")] = None,
    profile: Chosen = None,
    as_json: AsJson = False,
) -> int:
    """Fetch the signed bundle of a session."""

    def work() -> int:
        raw = caller_of(profile).ask("GET", f"/v1/sessions/{name_in_path(session)}/evidence").body
        if out is not None:
            out.write_bytes(raw)
        if as_json:
            text = None if out else raw.decode("utf-8", "replace")
            show_json(
                {"session": session, "bytes": len(raw), "file": str(out) if out else None, "bundle": text}
            )
        elif out is None:
            sys.stdout.buffer.write(raw)
            sys.stdout.buffer.flush()
        else:
            print(f"wrote {len(raw)} bytes to {out}")
        return Exit.OK

    return guarded(work, as_json=as_json)


def verify(
    bundle: Path,
    /,
    *,
    key: Annotated[Sequence[str], Parameter(help="A log's published key, or a file that holds it.")] = (),
    pinned: Annotated[bool, Parameter(help="Trust the keys pinned by `login`.")] = True,
    as_json: AsJson = False,
) -> int:
    """Check a bundle offline. Exits 0 only when a key you trust signed that the session is over."""

    def work() -> int:
        from sojourn.ledger.verify import verify as check

        with bundle.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        verdict = check(raw, [_key(k) for k in key] or (_pinned() if pinned else []))
        code = _exit_of(verdict)
        if not as_json:
            print("\n".join(verdict.lines()))
            return code
        checks = [
            {"number": c.number, "name": c.name, "ok": c.ok, "detail": c.detail} for c in verdict.checks
        ]
        told = {"result": verdict.result.value, "failed": verdict.failed, "session": verdict.session}
        show_json({**told, "ended": verdict.ended, "checks": checks, "remarks": list(verdict.remarks)})
        return code

    return guarded(work, as_json=as_json)


def _exit_of(verdict: Verdict) -> Exit:
    match verdict.result:
        case Result.VERIFIED:
            return Exit.OK if verdict.ended else Exit.STILL_OPEN
        case Result.SELF_CONSISTENT:
            return Exit.SIGNER_UNKNOWN
        case Result.FAILED:
            return Exit.VERIFY_FAILED


def _key(given: str) -> str:
    path = Path(given)
    return path.read_text(encoding="utf-8").strip() if "+" not in given and path.is_file() else given


def _pinned() -> list[str]:
    """The log keys in this user's own profiles; an unreadable profile pins nothing."""
    found = []
    for role in ("operator", "workload"):
        try:
            profile = load_profile(profile_path(role, os.environ))
        except SojournError:
            continue
        found += [profile.log_vkey] if profile.log_vkey else []
    return sorted(set(found))
