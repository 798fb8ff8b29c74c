"""How far the database had come, remembered beside the keys and not in the database.

A database that is behind its mark was put back to an earlier state: a new epoch begins then,
so that no token and no feed mark of the lost time is believed again.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from sojourn.core.errors import Invalid
from sojourn.ports.store import Head


class HighWater:
    """One small file, replaced whole and synced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Head | None:
        """What was remembered; None before anything was.

        Raises:
            Invalid: code `bad_high_water`; the file is not ours, and is not to be guessed at.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Head)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise Invalid("bad_high_water", f"`{self._path.name}` does not hold a high-water mark") from error

    def raise_to(self, head: Head) -> None:
        """Remember `head`, unless a later one is remembered."""
        known = self.read()
        if known is not None and not is_behind(known, head):
            return
        beside = self._path.with_name(self._path.name + ".new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(head))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        _sync_directory(self._path.parent)


def is_behind(head: Head, known: Head) -> bool:
    """Whether `head` has not come as far as `known`."""
    if head.epoch != known.epoch:
        return head.epoch < known.epoch
    return head.journal_size < known.journal_size or head.feed_n < known.feed_n


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
