"""What a session does to stay, and what the host does about it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Intent, Issued, Presence, Ref
from tests.providers.kits.ssh import SshKit
from tests.rig.poll import until_async

pytestmark = pytest.mark.anyio

ESCAPES = {
    "a daemon with a clean environment": "env -i setsid sleep 300 >/dev/null 2>&1 & echo out; sleep 300",
    "an orphan of an orphan that ignores signals": (
        "trap '' TERM HUP INT; (setsid sh -c 'sleep 300 & exec sleep 0.1' &) ; echo out; sleep 300"
    ),
}


async def _begin(rig: SshKit, command: str) -> tuple[Intent, Issued, asyncio.subprocess.Process]:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    process = await rig.start(issued, command)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        await process.stdout.readline()
    return intent, issued, process


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
async def test_what_a_session_starts_ends_with_it(rig: SshKit, escape: str) -> None:
    intent, issued, process = await _begin(rig, escape)
    assert rig.running(intent.handle) >= 3

    await rig.provider.destroy(Ref(intent.handle, issued.target_id))

    assert rig.running(intent.handle) == 0
    async with asyncio.timeout(10):
        assert await process.wait() != 0, "the connection was not cut"


async def test_what_a_session_leaves_behind_goes_when_its_shell_does(rig: SshKit) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)

    code, said = await rig.run(issued, "env -i setsid sleep 300 >/dev/null 2>&1 & echo left")

    assert (code, said) == (0, "left")
    assert rig.running(intent.handle) == 0
    await rig.provider.destroy(Ref(intent.handle, issued.target_id))


async def test_a_shell_ends_at_its_expiry_without_anybodys_order(rig: SshKit) -> None:
    intent = replace(rig.intent(), expires_at=rig.clock.now() + timedelta(seconds=8))
    issued = await rig.provider.issue(intent)
    process = await rig.start(issued, "echo in; sleep 300")

    async with asyncio.timeout(30):
        code = await process.wait()

    assert code == 255
    assert rig.clock.now() >= intent.expires_at
    await rig.provider.destroy(Ref(intent.handle, issued.target_id))


async def test_a_certificate_passes_no_connection_on(rig: SshKit) -> None:
    """Forwarding needs no session, so nothing would run that could be ended."""
    intent = rig.intent()
    issued = await rig.provider.issue(intent)

    through = await rig.start(issued, options=("-W", f"127.0.0.1:{rig.sshd.port}"))
    async with asyncio.timeout(15):
        said, _ = await through.communicate()

    assert through.returncode != 0 and said == b""
    assert await rig.can_log_in(issued)
    await rig.provider.destroy(Ref(intent.handle, issued.target_id))


async def test_an_end_comes_before_an_admission_that_is_still_on_its_way(rig: SshKit) -> None:
    """The host remembers the end of what it never admitted: a late admission is refused."""
    intent = rig.intent()
    await rig.provider.destroy(Ref(intent.handle, None, intent.expires_at))

    with pytest.raises(TargetError, match="handle_taken") as caught:
        await rig.provider.issue(intent)

    assert not caught.value.sent
    assert (await rig.provider.observe(Ref(intent.handle, None))).presence is Presence.ABSENT


async def test_a_late_admission_is_refused_by_the_hosts_own_clock(rig: SshKit) -> None:
    handle = rig.intent().handle

    with pytest.raises(TargetError, match="deadline_passed"):
        await rig.provider._orders.give(
            "admit",
            lambda there: {
                "handle": handle,
                "serial": "1",
                "expires_at": there.timestamp() + 60,
                "deadline": there.timestamp() - 0.001,
            },
        )

    assert await rig.provider.locate(handle) is None


async def test_without_the_program_the_krl_refuses_new_logins_and_no_more(rig: SshKit) -> None:
    """Class C, as declared: a shell that is open goes on."""
    provider = rig.through(rig.port, wrapper=False)
    intent = rig.intent()
    issued = await provider.issue(intent)
    process = await rig.start(issued, "echo in; exec sleep 30")
    assert process.stdout is not None
    await process.stdout.readline()

    await provider.destroy(Ref(intent.handle, issued.target_id))
    seen = await provider.observe(Ref(intent.handle, issued.target_id))
    await provider.close()

    assert provider.revocation_class == "C"
    assert not await rig.can_log_in(issued)
    assert process.returncode is None, "it was cut after all: declare a better class"
    assert seen.presence is Presence.ABSENT and "not looked for" in seen.method
    process.kill()
    await process.wait()


async def test_the_krl_alone_refuses_a_certificate_that_has_ended(rig: SshKit) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    await rig.provider.destroy(Ref(intent.handle, issued.target_id))
    (rig.sshd.state / "ended" / intent.handle).rename(rig.folder / "aside")
    admission = {"serial": "1", "state": "open", "expires_at": 9e9, "id": "x", "revoked": [], "at": 1}
    (rig.sshd.state / "admitted" / intent.handle).write_text(json.dumps(admission))

    assert not await rig.can_log_in(issued)

    (rig.sshd.state / "admitted" / intent.handle).unlink()


async def test_a_host_with_another_key_is_given_no_order(rig: SshKit) -> None:
    stranger = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    provider = rig.through(rig.port, host_key=stranger)

    with pytest.raises(TargetError, match="target_unreachable") as caught:
        await provider.issue(rig.intent())

    assert not caught.value.sent
    await provider.close()


async def test_a_host_that_does_not_answer_is_given_up_in_time(rig: SshKit) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = rig.through(port)

    with pytest.raises(TargetError) as caught:
        await provider.destroy(Ref(rig.intent().handle, "x"))

    assert caught.value.code in ("target_timeout", "target_unreachable")
    await provider.close()
    server.close()


@pytest.mark.slow
async def test_many_connections_of_one_session_are_all_cut(rig: SshKit) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    processes = [await rig.start(issued, "echo in; sleep 300") for _ in range(4)]
    await until_async(lambda: _shells(rig, intent.handle, 4), within_s=30)

    await rig.provider.destroy(Ref(intent.handle, issued.target_id))

    assert rig.running(intent.handle) == 0
    async with asyncio.timeout(10):
        assert all([await one.wait() for one in processes])


async def _shells(rig: SshKit, handle: str, count: int) -> bool:
    return rig.running(handle) >= 3 * count
