"""The control plane's keys as files: token key (ES256), checkpoint key (Ed25519), sealing key.

A 0700 folder holds 0600 files. They are made on the first start and their modes, owner and kind
are checked on every start; a symbolic link in their place is refused, never followed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.jose import Es256Key

TOKEN_KEY: Final = "token.pem"  # noqa: S105 - the name of a file
CHECKPOINT_KEY: Final = "checkpoint.key"
SEALING_KEY: Final = "sealing.key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LARGEST: Final = 4096
_ED25519: Final = b"\x01"  # C2SP signed-note: the signature type
_OPEN: Final = os.O_NOFOLLOW | os.O_CLOEXEC


class FileTokenSigner:
    """Signs access tokens with the token key."""

    def __init__(self, key: Es256Key) -> None:
        self._key = key

    @property
    def kid(self) -> str:
        """The thumbprint of the key in use."""
        return self._key.thumbprint

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A compact JWS; `alg` and `kid` are ours."""
        return self._key.sign({**header, "kid": self.kid}, claims)

    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """The one key there is, as a JWK."""
        return [{**self._key.jwk, "kid": self.kid, "use": "sig", "alg": "ES256"}]


class FileNoteSigner:
    """Signs checkpoints and bundles as C2SP signed notes."""

    def __init__(self, key: Ed25519PrivateKey, name: str) -> None:
        self._key = key
        self._name = name
        self._public = key.public_key().public_bytes_raw()
        self._id = hashlib.sha256(name.encode() + b"\n" + _ED25519 + self._public).digest()[:4]

    @property
    def name(self) -> str:
        """Whose signature it is."""
        return self._name

    @property
    def vkey(self) -> str:
        """The public key in C2SP form."""
        return f"{self._name}+{self._id.hex()}+{base64.b64encode(_ED25519 + self._public).decode()}"

    def sign_note(self, text: str) -> str:
        """`text`, an empty line, and its signature line.

        Raises:
            Invalid: code `bad_note`; the text does not end its last line.
        """
        if not text.endswith("\n"):
            raise Invalid("bad_note", "the text of a note must end with a newline")
        signature = base64.b64encode(self._id + self._key.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self._name} {signature}\n"


class FileSealer:
    """AES-256-GCM under the sealing key; the name is authenticated with the secret."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, name: str, secret: bytes) -> bytes:
        """Nonce and ciphertext."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, name.encode())

    def unseal(self, name: str, ciphertext: bytes) -> bytes:
        """The secret.

        Raises:
            Invalid: code `unsealable`.
        """
        try:
            return self._cipher.decrypt(ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise Invalid("unsealable", f"what is sealed as `{name}` does not open under this key") from error


class FileKeys:
    """All keys of one deployment, from one folder."""

    def __init__(self, folder: Path, note_name: str) -> None:
        """Open the folder, making it and its keys where they are missing.

        Raises:
            Invalid: code `unsafe_file` or `bad_key`.
        """
        if not note_name or any(mark.isspace() or mark == "+" for mark in note_name):
            raise Invalid("bad_name", "the name of a note signer has no spaces and no plus")
        directory = _open_folder(folder)
        try:
            pem = _read_or_make(
                directory, TOKEN_KEY, lambda: Es256Key.generate().secret_pem().reveal().encode()
            )
            checkpoint = _read_or_make(directory, CHECKPOINT_KEY, _fresh_ed25519)
            sealing = _read_or_make(directory, SEALING_KEY, lambda: secrets.token_bytes(_KEY_BYTES))
        finally:
            os.close(directory)
        if len(checkpoint) != _KEY_BYTES or len(sealing) != _KEY_BYTES:
            raise Invalid("bad_key", f"keys in `{folder}` must be {_KEY_BYTES} bytes long")
        self.tokens = FileTokenSigner(Es256Key.from_pem(Secret(pem.decode("ascii", "replace"))))
        self.notes = FileNoteSigner(Ed25519PrivateKey.from_private_bytes(checkpoint), note_name)
        self.sealer = FileSealer(sealing)


def _fresh_ed25519() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )


def _open_folder(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
    except OSError as error:
        raise Invalid("unsafe_file", f"`{folder}` must be a folder, not a link") from error
    found = os.fstat(directory)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(directory)
        raise Invalid("unsafe_file", f"`{folder}` must be ours, with mode 0700")
    return directory


def _read_or_make(directory: int, name: str, make: Callable[[], bytes]) -> bytes:
    try:
        return _read(directory, name)
    except FileNotFoundError:
        _write_new(directory, name, make())
    return _read(directory, name)  # another process may have been first: its key counts


def _read(directory: int, name: str) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _OPEN, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Invalid("unsafe_file", f"`{name}` must be a file, not a link") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise Invalid("unsafe_file", f"`{name}` must be a file of ours with mode 0600")
        return file.read(_LARGEST)


def _write_new(directory: int, name: str, content: bytes) -> None:
    """Put a whole file in place or none, and never over another."""
    draft = f".{name}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        return  # another start won the race: its key is read next
    finally:
        os.unlink(draft, dir_fd=directory)
        os.fsync(directory)
