"""A real MySQL of Oracle's, where there is one: `scripts/mysql_server` unpacks it from an archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.rig.mariadb import START_SECONDS, MariaServer
from tests.rig.unavailable import unavailable

_MEND = "scripts/mysql_server unpacks it on Linux x86_64, if Maven is there"


class MySQLServer(MariaServer):
    """As MariaDB's; its administrator is asked by the same client."""

    options: ClassVar[Sequence[str]] = (
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
        "--innodb-log-file-size=8M",
        *(("--user=root",) if os.geteuid() == 0 else ()),
    )

    def find(self) -> str:
        brought = Path(sys.prefix) / "servers/mysql/bin/mysqld"
        named = (os.environ.get("SOJOURN_MYSQLD"), brought, shutil.which("mysqld"))
        found = next((one for one in named if one is not None and _is_oracles(one)), None)
        if found is None:
            unavailable("`mysqld`, MySQL's own server,", _MEND)
        return str(found)

    def user(self) -> str | None:
        return None  # it is told so by an option: its program may be where only we can read

    def make_tables(self) -> None:
        subprocess.run(
            [self.binary, "--no-defaults", "--initialize-insecure", *self.options]
            + [f"--datadir={self.directory / 'tables'}"],
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
        )


def _is_oracles(binary: str | Path) -> bool:
    if not Path(binary).exists():
        return False
    done = subprocess.run([binary, "--version"], check=False, capture_output=True, text=True, timeout=10)
    return "MySQL" in done.stdout and "MariaDB" not in done.stdout
