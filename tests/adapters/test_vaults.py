"""Where private keys are: in a file's seal, in a token, in another process; never in an answer."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.adapters.file_keys import signing_vault
from sojourn.adapters.pkcs11_vault import Pkcs11Vault
from sojourn.adapters.signer_wire import receive, send
from sojourn.adapters.socket_vault import SocketVault
from sojourn.core.errors import Invalid, Unavailable
from sojourn.core.secret import Secret
from sojourn.jose import ForeignKey
from sojourn.ports.keys import KeyVault, MadeKey
from tests.rig.halt import halt, release
from tests.rig.poll import until
from tests.rig.unavailable import tool, unavailable

PIN, LABEL = "87654321", "sojourn-test"
COMMAND = (str(Path(sys.executable).parent / "sojourn"), "signer")
ALGORITHMS = ("ES256", "RS256", "Ed25519")


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SoftHSM token; the path of its module. The process has one configuration: it is read once."""
    module = next(Path("/usr/lib").glob("**/libsofthsm2.so"), None)
    if module is None:
        unavailable("SoftHSM", "apt-get install softhsm2")
    place = tmp_path_factory.mktemp("hsm")
    (place / "tokens").mkdir()
    (place / "conf").write_text(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(place / "conf")
    init = [tool("softhsm2-util", package="softhsm2"), "--init-token", "--free", "--label", LABEL]
    subprocess.run([*init, "--so-pin", PIN, "--pin", PIN], check=True, capture_output=True, timeout=20)
    return module


class SignerProcess:
    """`sojourn signer`, started by hand."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.path = folder / "signer.sock"
        self._options = options or ("--keys", str(folder / "signer-keys"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*COMMAND, "--socket", str(self.path), *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None and b"signing at" in self.process.stdout.readline()

    def end(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()
        self.process = None


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    made = SignerProcess(tmp_path)
    made.start()
    yield made
    made.end()


@pytest.fixture(scope="module", params=["file", "token", "process", "token in a process"])
def vault(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyVault]:
    tmp_path = tmp_path_factory.mktemp("vault")
    if request.param == "file":
        yield signing_vault(tmp_path / "keys")
        return
    if request.param == "token":
        yield Pkcs11Vault(str(request.getfixturevalue("token")), LABEL, Secret(PIN))
        return
    options: tuple[str, ...] = ()
    if request.param == "token in a process":
        pin = tmp_path / "pin"
        pin.touch(0o600)
        pin.write_text(PIN)
        module = str(request.getfixturevalue("token"))
        options = ("--pkcs11", module, "--token", LABEL, "--pin-file", str(pin))
    made = SignerProcess(tmp_path, *options)
    made.start()
    yield SocketVault(made.path, time.monotonic, within_s=10.0)  # a busy machine is no fault
    made.end()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_vault_signs_verifies_by_the_key_it_showed(vault: KeyVault, algorithm: str) -> None:
    made = vault.make(algorithm)

    signature = vault.sign(made, algorithm, b"message")

    key = ForeignKey.from_jwk(made.jwk)
    assert key.verifies(algorithm, b"message", signature)
    assert not key.verifies(algorithm, b"another", signature)
    assert made.kid not in repr(made.kept) and "d" not in made.jwk


def test_a_key_of_another_vault_and_a_bent_one_are_refused(vault: KeyVault, tmp_path: Path) -> None:
    stranger = signing_vault(tmp_path / "elsewhere").make("ES256")
    mine, other = vault.make("ES256"), vault.make("ES256")

    for bad in (stranger, MadeKey(mine.jwk, mine.kid, mine.kept[:-1]), MadeKey(mine.jwk, mine.kid, b"")):
        with pytest.raises((Invalid, Unavailable)):
            vault.sign(bad, "ES256", b"message")
    assert vault.sign(other, "ES256", b"message")


def test_what_is_kept_of_a_key_is_bound_to_its_name(tmp_path: Path) -> None:
    vault = signing_vault(tmp_path / "keys")
    one, other = vault.make("ES256"), vault.make("ES256")

    with pytest.raises(Invalid):
        vault.sign(MadeKey(one.jwk, one.kid, other.kept), "ES256", b"message")


def test_an_algorithm_that_we_do_not_sign_by_is_refused(vault: KeyVault) -> None:
    with pytest.raises((Invalid, Unavailable)):
        vault.make("HS256")


def test_a_forgotten_key_of_a_token_is_gone(token: Path) -> None:
    vault = Pkcs11Vault(str(token), LABEL, Secret(PIN))
    made = vault.make("ES256")

    vault.forget(made)
    vault.forget(made)

    with pytest.raises(Invalid):
        vault.sign(made, "ES256", b"message")


def test_a_token_that_is_not_there_is_no_signer(token: Path) -> None:
    with pytest.raises(Unavailable) as refusal:
        Pkcs11Vault(str(token), "nowhere", Secret(PIN))

    assert refusal.value.code == "no_signer"


def test_a_wrong_pin_ends_the_signer_and_is_not_shown(token: Path, tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text("11111111")
    options = ("--pkcs11", str(token), "--token", LABEL, "--pin-file", str(pin))
    command = [*COMMAND, "--socket", str(tmp_path / "s.sock"), *options]

    ended = subprocess.run(command, capture_output=True, timeout=20, check=False)

    assert ended.returncode == 11 and b"no_signer" in ended.stderr
    assert b"11111111" not in ended.stderr + ended.stdout


def test_the_death_of_the_signer_fails_closed_and_its_return_is_noticed(signer: SignerProcess) -> None:
    vault = SocketVault(signer.path, time.monotonic, within_s=10.0)
    made = vault.make("ES256")
    signer.end()

    with pytest.raises(Unavailable) as refusal:
        vault.sign(made, "ES256", b"message")

    assert refusal.value.code == "no_signer"
    signer.start()
    until(lambda: _signs(vault, made))


def test_a_signer_that_hangs_costs_a_moment_once(signer: SignerProcess) -> None:
    vault = SocketVault(signer.path, time.monotonic)
    made = vault.make("ES256")
    assert signer.process is not None
    halt(signer.process.pid)
    try:
        began = time.monotonic()
        assert not any(_signs(vault, made) for _ in range(100))
        assert time.monotonic() - began < 1.0
    finally:
        release(signer.process.pid)
    until(lambda: _signs(vault, made))


def _signs(vault: KeyVault, made: MadeKey) -> bool:
    try:
        return bool(vault.sign(made, "ES256", b"message"))
    except Unavailable:
        return False


def test_the_socket_is_for_its_user_and_for_nobody_else(signer: SignerProcess) -> None:
    assert signer.path.stat().st_mode & 0o777 == 0o600
    if os.geteuid() != 0:
        unavailable("the right to be another user", "run as root")
    signer.path.chmod(0o666)  # even if the mode were wrong, the kernel says who asks
    for folder in signer.path.parents:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o001)
    code = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(5)\n"
        "try:\n"
        "    s.sendall(b'\\0\\0\\0\\x02{}\\0\\0\\0\\0')\n"
        "    sys.exit(len(s.recv(4)))\n"
        "except (BrokenPipeError, ConnectionResetError):\n"
        "    sys.exit(0)"
    )
    python = shutil.which("python3", path="/usr/bin:/bin") or unavailable(
        "python3", "apt-get install python3"
    )
    asked = subprocess.run(
        [python, "-c", code, str(signer.path)],
        user=65534,
        group=65534,
        extra_groups=[],
        timeout=20,
        check=False,
    )

    assert asked.returncode == 0  # it was hung up on, without a byte


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignerProcess]:
    """A signer that no test ends."""
    made = SignerProcess(tmp_path_factory.mktemp("signer"))
    made.start()
    yield made
    made.end()


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"do": "unseal"},
        {"do": "sign"},
        {"do": "sign", "jwk": {}, "kept": "?"},
        {"do": "export", "kid": "a"},
    ],
)
def test_the_signer_does_nothing_else(lasting: SignerProcess, head: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(lasting.path))
        send(connection, head)
        try:
            answer, given = receive(connection)
        except OSError:
            return  # hung up on: that too is nothing
    assert answer == {"error": "bad_message"} and given == b""


def test_two_signers_at_one_socket_and_a_file_in_its_place_are_refused(
    lasting: SignerProcess, tmp_path: Path
) -> None:
    from sojourn.adapters.signer_process import Signer

    (tmp_path / "file").write_text("")
    for path in (lasting.path, tmp_path / "file"):
        with pytest.raises(Invalid):
            Signer(path, signing_vault(tmp_path / "keys"), uid=os.geteuid())
