#!/usr/bin/env python3
"""A plain script on a machine without a platform: a key in a 0600 profile stands for it.

Once, as an operator:
  sojourn client add nightly --owner team-shop --out ~/.config/sojourn/workload.json
  sojourn charter apply deploy.yaml    # with `clients: [nightly]`
"""

import asyncio
import os
import subprocess

import sojourn


async def main() -> None:
    async with sojourn.open("deploy:nightly") as session:
        login = session.credentials[0]
        where = login.connection
        environ = {
            **os.environ,
            "PGHOST": where["host"],
            "PGPORT": where["port"],
            "PGDATABASE": where["database"],
            "PGUSER": where["user"],
            "PGPASSWORD": login.secret.reveal(),
        }
        await asyncio.to_thread(subprocess.run, ["./migrate.sh"], env=environ, check=True)
    # Here access is over, whatever happened inside: the login is refused, and on its way out.


asyncio.run(main())
