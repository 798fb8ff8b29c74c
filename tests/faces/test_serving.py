"""What a server refuses before it listens, and that it speaks TLS and stops in order."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import socket
import ssl
import threading
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import Receive, Scope, Send

from sojourn.core.errors import Invalid
from sojourn.faces.http.serving import Listen, check, serve
from sojourn.faces.http.serving_file import deployment_id, read_serving, write_private

GOOD = {"issuer": "https://sojourn.example", "state": "state", "listen": "127.0.0.1:8443"}


def config(folder: Path, **changes: str | None) -> Path:
    """A configuration file with members changed, or left out."""
    members = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    path = folder / "sojourn.toml"
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in members.items()))
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": None}, "`issuer`"),
        ({"issuer": "sojourn.example"}, "`issuer`"),
        ({"issuer": "https://sojourn.example/"}, "slash"),
        ({"state": ""}, "`state`"),
        ({"listen": "127.0.0.1"}, "HOST:PORT"),
        ({"listen": "127.0.0.1:x"}, "HOST:PORT"),
        ({"port": "8443"}, "`port` is no member"),
        ({"database_dsn_file": "/nowhere/dsn"}, "cannot be read"),
    ],
)
def test_a_configuration_that_is_not_understood_is_refused(
    tmp_path: Path, changes: dict[str, str | None], said: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        read_serving(config(tmp_path, **changes))

    assert refusal.value.code == "bad_config"
    assert said in refusal.value.message


def test_a_dsn_that_others_can_read_is_refused(tmp_path: Path) -> None:
    dsn = tmp_path / "dsn"
    write_private(dsn, "postgresql://sojourn:word@127.0.0.1/sojourn\n")
    path = config(tmp_path, database_dsn_file=str(dsn))
    private = read_serving(path)
    dsn.chmod(0o640)

    with pytest.raises(Invalid) as refusal:
        read_serving(path)

    assert private.dsn is not None and private.dsn.reveal().endswith("/sojourn")
    assert refusal.value.code == "unsafe_file" and "word" not in refusal.value.message


def test_a_dsn_behind_a_link_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "real", "postgresql://127.0.0.1/sojourn")
    (tmp_path / "dsn").symlink_to(tmp_path / "real")

    with pytest.raises(Invalid):
        read_serving(config(tmp_path, database_dsn_file=str(tmp_path / "dsn")))


def test_the_deployment_id_is_chosen_once_in_a_folder_of_ours(tmp_path: Path) -> None:
    first = deployment_id(tmp_path / "state")

    assert deployment_id(tmp_path / "state") == first
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "deployment").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost", "example.org", ""])
def test_beyond_loopback_there_is_no_listening_without_tls(host: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(Listen(host, 8443))

    assert refusal.value.code == "tls_required"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_needs_no_tls(host: str) -> None:
    check(Listen(host, 8443))


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refusal:
        check(Listen("0.0.0.0", 8443, certificate=tmp_path / "tls.pem"))

    assert refusal.value.code == "bad_tls"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the scheme it was reached by."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


class Running:
    """A server in a thread, as the product runs it."""

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop, self._stop, started = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(serve(app, self._listen, started=started, stop=self._stop))
        await asyncio.wait_for(started.wait(), 10)
        self._up.set()
        await serving

    def start(self) -> None:
        """Start; returns when the port is open."""
        self._thread.start()
        assert self._up.wait(10)

    def stop(self) -> bool:
        """Ask to stop; whether the server came back in time."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        return not self._thread.is_alive()


@pytest.fixture
def listen(tmp_path: Path) -> Listen:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    return Listen("127.0.0.1", port, *certificate(tmp_path))


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begins = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(hours=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    os.chmod(folder / "tls.key", 0o600)
    return folder / "tls.pem", folder / "tls.key"


def test_tls_is_spoken_and_a_stop_is_heard(listen: Listen) -> None:
    running = Running(listen)
    running.start()
    trusted = ssl.create_default_context(cafile=str(listen.certificate))
    address = f"127.0.0.1:{listen.port}"

    with httpx2.Client(verify=trusted) as client:
        answer = client.get(f"https://{address}/")
    with httpx2.Client() as client, pytest.raises(httpx2.HTTPError):
        client.get(f"http://{address}/")

    assert answer.text == "https"
    assert running.stop()
