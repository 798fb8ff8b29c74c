"""The control plane as `tests.rig.control_plane_main` runs it, with every logger at its loudest."""

from __future__ import annotations

import logging
import sys

import uvicorn

from tests.rig.control_plane_main import main

# Not `uvicorn.access`: there is no access log at any level, which is why no path is ever in one.
LOUD = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "sqlalchemy.engine", "sqlalchemy.pool")


class _Loud(uvicorn.Config):
    def configure_logging(self) -> None:
        """Everything that is ever said goes to the log."""
        super().configure_logging()
        for name in LOUD:
            logging.getLogger(name).setLevel(logging.DEBUG)
            logging.getLogger(name).propagate = True


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    uvicorn.Config = _Loud  # type: ignore[misc]
    sys.exit(main(sys.argv[1], sys.argv[2]))
