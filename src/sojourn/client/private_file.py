"""Files only their owner may read: written whole or not at all, never through a symbolic link."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from sojourn.core.errors import Invalid, NotFound

_LARGEST: Final = 1 << 20


def read_private(path: Path) -> str:
    """Read `path`, which must be a plain file of ours with mode 0600 or less.

    Raises:
        NotFound: code `no_such_file`.
        Invalid: code `unsafe_file`; a link, somebody else's, or readable by others.
    """
    with os.fdopen(open_private(path), "rb") as file:
        raw = file.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise Invalid("unsafe_file", f"expected at most {_LARGEST} bytes in `{path}`")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid("unsafe_file", f"`{path}` is not text") from error


def open_private(path: Path) -> int:
    """A descriptor of `path`, which must be as `read_private` says; the caller closes it.

    Raises:
        NotFound: code `no_such_file`.
        Invalid: code `unsafe_file`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFound("no_such_file", f"there is no file `{path}`") from error
    except OSError as error:
        raise Invalid("unsafe_file", f"cannot open `{path}` as a plain file: {error.strerror}") from error
    try:
        _check(path, os.fstat(descriptor))
    except Invalid:
        os.close(descriptor)
        raise
    return descriptor


def write_private(path: Path, content: str) -> None:
    """Put `content` at `path` with mode 0600, replacing in one step what was there."""
    ensure_private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def ensure_private_folder(folder: Path) -> None:
    """Make `folder` with mode 0700; one that exists must be ours and closed to other writers."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    # A sticky folder such as /tmp lets nobody replace another's file.
    if stat.S_IMODE(found.st_mode) & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise Invalid("unsafe_file", f"`{folder}` can be written by others; run `chmod 700 {folder}`")


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Invalid("unsafe_file", f"`{path}` is not a plain file")
    if found.st_uid != os.geteuid():
        raise Invalid("unsafe_file", f"`{path}` belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Invalid("unsafe_file", f"`{path}` can be read by others; run `chmod 600 {path}`")
