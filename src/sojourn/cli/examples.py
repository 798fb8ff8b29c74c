"""`sojourn example NAME`: a working example for one platform, with nothing secret in it."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from sojourn.cli.calling import guarded
from sojourn.cli.exits import Exit
from sojourn.client.transport import check_issuer
from sojourn.core.client import check_name

FILES: Final = {
    "github": "github.yml",
    "gitlab": "gitlab.yml",
    "kubernetes": "kubernetes.yml",
    "spiffe": "spiffe.sh",
    "script": "script.txt",
}
_SERVER: Final = "https://sojourn.example"
_CLIENT: Final = ("SOJOURN_CLIENT: deploy", "value: deploy", "SOJOURN_CLIENT=deploy", "client add deploy")


def example(
    name: Literal["github", "gitlab", "kubernetes", "spiffe", "script"],
    /,
    *,
    server: Annotated[str | None, Parameter(help="The control plane's address, to be put in.")] = None,
    client: Annotated[str | None, Parameter(help="The client's name, to be put in.")] = None,
) -> int:
    """Print a working example: a job, a manifest or a script that needs no stored secret."""

    def work() -> int:
        print(render(name, server, client), end="")
        return Exit.OK

    return guarded(work, as_json=False)


def render(name: str, server: str | None = None, client: str | None = None) -> str:
    """The example `name`, with a server and a client of one's own.

    Raises:
        Invalid: `server` is no address, or `client` no name.
    """
    shown = files("sojourn.cli").joinpath("example_files", FILES[name]).read_text("utf-8")
    if server is not None:
        check_issuer(server)
        shown = shown.replace(_SERVER, server.rstrip("/"))
    if client is not None:
        check_name(client)
        for place in _CLIENT:
            shown = shown.replace(place, place.replace("deploy", client))
    return shown
