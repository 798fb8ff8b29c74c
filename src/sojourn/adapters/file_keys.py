"""The keys that seal, as files: one for the secrets of targets, one for our own signing keys.

A 0700 folder holds 0600 files. They are made on the first start and their modes, owner and kind
are checked on every start; a symbolic link in their place is refused, never followed.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sojourn.adapters.file_vault import FileVault
from sojourn.core.errors import Invalid
from sojourn.ports.keys import KeyVault

SEALING_KEY: Final = "sealing.key"
SIGNING_KEY: Final = "signing.key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LARGEST: Final = 4096
_OPEN: Final = os.O_NOFOLLOW | os.O_CLOEXEC


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
    """What seals, from one folder: secrets of targets under one key, our signing keys under another."""

    def __init__(self, folder: Path, vault: KeyVault | None = None) -> None:
        """Open the folder, making it and its keys where they are missing.

        With a `vault` elsewhere no key of our signing keys is read or made here.

        Raises:
            Invalid: code `unsafe_file` or `bad_key`.
        """
        sealing = _kept_key(folder, SEALING_KEY)
        self.sealer = FileSealer(sealing)
        self.nonce_secret = hmac.digest(sealing, b"dpop nonces", "sha256")  # the same at every node
        self.vault: KeyVault = vault or signing_vault(folder)


def signing_vault(folder: Path) -> FileVault:
    """The vault whose key is in `folder`.

    Raises:
        Invalid: code `unsafe_file` or `bad_key`.
    """
    return FileVault(FileSealer(_kept_key(folder, SIGNING_KEY)))


def _kept_key(folder: Path, name: str) -> bytes:
    directory = _open_folder(folder)
    try:
        key = _read_or_make(directory, name, lambda: secrets.token_bytes(_KEY_BYTES))
    finally:
        os.close(directory)
    if len(key) != _KEY_BYTES:
        raise Invalid("bad_key", f"`{name}` in `{folder}` must be {_KEY_BYTES} bytes long")
    return key


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
