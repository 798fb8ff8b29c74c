"""A length of wire between two programs, in a process of its own, so that it can fall silent.

Frozen by a signal it passes nothing either way and closes nothing: connections stay open, new
ones are taken by the kernel and never answered. Run as `LISTEN_PORT TARGET_PORT`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.rig.poll import until
from tests.rig.program import Program, fetch

_CHUNK: Final = 65_536


@contextmanager
def wire(listen: int, target: int, log: Path) -> Iterator[Program]:
    """A wire that passes everything until it is frozen."""
    program = Program([sys.executable, "-m", "tests.rig.wire", str(listen), str(target)], log)
    program.start()
    try:
        until(lambda: fetch(f"http://127.0.0.1:{listen}/healthz") == 200, within_s=15)
        yield program
    finally:
        program.kill()


async def _serve(listen: int, target: int) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))

    server = await asyncio.start_server(carry, "127.0.0.1", listen)
    async with server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(_CHUNK):
            writer.write(octets)
            await writer.drain()
    except OSError:
        return  # one end hung up; the other is told below
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
