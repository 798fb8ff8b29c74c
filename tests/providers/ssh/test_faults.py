"""What can go wrong between the provider and a host: the list of the other targets, in terms of a shell.

Messages of SSH cannot be read on the way, so faults are put into the program on the host itself: it
dies before or after one of its steps, or answers without having done anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Presence, Ref
from sojourn.providers.ssh import OpenSsh, on_host
from sojourn.providers.ssh.certificates import private_pem
from tests.providers.kits.ssh import SshKit
from tests.rig.proxy import Proxy

pytestmark = pytest.mark.anyio
_numbers = itertools.count(1)

# Put before the last lines of the program: the step of that name ends it at its nth call.
DYING = """
real, calls = {step}, []
def {step}(*given):
    calls.append(given)
    if len(calls) < {nth}:
        return real(*given)
    {after} and real(*given)
    os._exit(9)
"""
LYING = """
def end(state, order):
    return {"left": 0}
"""


def _with(kit: SshKit, fault: str) -> OpenSsh:
    """A provider whose orders go to a program with a fault; sessions run under the sound one."""
    sound = (kit.sshd.folder / "sojourn-host").read_text()
    head, last = sound.split('\nif __name__ == "__main__":')
    place = kit.folder / f"faulty-{next(_numbers)}"
    place.write_text(f'{head}{fault}\nif __name__ == "__main__":{last}')
    place.chmod(0o755)
    return kit.through(kit.port, program=str(place))


def _steps(*steps: tuple[str, int], by_default: tuple[str, bool]) -> Callable[..., object]:
    cases = [
        pytest.param(step, nth, after, marks=() if (step, after) == by_default else pytest.mark.slow)
        for step, nth in steps
        for after in (False, True)
    ]
    return pytest.mark.parametrize(("step", "nth", "after"), cases)


@_steps(("write", 1), ("say", 1), ("say", 2), by_default=("write", True))
async def test_an_admission_that_dies_at_any_step_leaves_nothing_the_reaper_does_not_find(
    rig: SshKit, step: str, nth: int, after: bool
) -> None:
    faulty, intent = _with(rig, DYING.format(step=step, nth=nth, after=after)), rig.intent()
    answered = (step, nth, after) == ("say", 2, True)  # it died when all was said

    assert (await _code_of(faulty.issue(intent)) is None) == answered
    await faulty.close()
    found = await rig.provider.locate(intent.handle)
    await rig.provider.destroy(Ref(intent.handle, found))

    assert await rig.absent(Ref(intent.handle, found))


@_steps(("write", 1), ("publish", 1), ("cut_session", 1), ("say", 2), by_default=("publish", False))
async def test_an_end_that_dies_at_any_step_is_not_taken_for_done_and_can_be_repeated(
    rig: SshKit, step: str, nth: int, after: bool
) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    shell = await rig.start(issued, "echo in; exec sleep 300")
    assert shell.stdout is not None
    await shell.stdout.readline()
    faulty, ref = (
        _with(rig, DYING.format(step=step, nth=nth, after=after)),
        Ref(intent.handle, issued.target_id),
    )

    await _code_of(faulty.destroy(ref))
    await faulty.close()

    cut = step == "say" or (step == "cut_session" and after)
    seen = await rig.provider.observe(ref)
    assert seen.presence is (Presence.ABSENT if cut else _left(step, after=after))
    assert (seen.presence is Presence.PRESENT) == await rig.can_log_in(issued)
    await rig.provider.destroy(ref)
    assert await rig.absent(ref) and await shell.wait() != 0


def _left(step: str, *, after: bool) -> Presence:
    """Before anything is written it is as it was; afterwards nobody comes in, and the shell goes on."""
    return Presence.PRESENT if step == "write" else Presence.LINGERING


async def test_an_end_that_is_answered_and_not_done_is_found_out_by_looking(rig: SshKit) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    liar = _with(rig, LYING)

    await liar.destroy(ref)
    await liar.close()

    assert (await rig.provider.observe(ref)).presence is Presence.PRESENT
    await rig.provider.destroy(ref)
    assert await rig.absent(ref)


async def test_a_host_out_of_reach_is_never_taken_for_an_absence(rig: SshKit) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    async with Proxy(rig.port, frames=False) as proxy:
        away = rig.through(proxy.port)
        proxy.refusing = True

        codes = [await _code_of(away.destroy(ref)), await _code_of(away.observe(ref))]
        proxy.refusing = False
        await away.destroy(ref)
        await away.close()

    assert codes == ["target_unreachable", "target_unreachable"]
    assert await rig.absent(ref)


async def test_a_replaced_authority_heals_refused_orders(rig: SshKit) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref, place = Ref(intent.handle, issued.target_id), rig.sshd.state / "ca.pub"
    another, before = Ed25519PrivateKey.generate(), place.read_bytes()
    place.write_bytes(another.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")
    try:
        with pytest.raises(TargetError) as refused:
            await rig.provider.destroy(ref)
        healed = rig.through(rig.port, private_pem(another))
        await healed.destroy(ref)
        seen = await healed.observe(ref)
        await healed.close()
    finally:
        place.write_bytes(before)

    assert (refused.value.code, refused.value.sent) == ("admin_login_refused", False)
    assert seen.presence is Presence.ABSENT
    assert not await rig.can_log_in(issued)


async def _code_of(call: object) -> str | None:
    try:
        await call  # type: ignore[misc]
    except TargetError as error:
        return error.code
    return None


def test_the_program_has_one_place_where_a_fault_goes() -> None:
    assert Path(on_host.__file__).read_text().count('\nif __name__ == "__main__":') == 1
