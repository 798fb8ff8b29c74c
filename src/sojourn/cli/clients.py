"""`sojourn client …` and `sojourn login`: keys are made here, only their public half is sent.

A workload that its platform vouches for gets no key at all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from cyclopts import App, Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path, profile_of
from sojourn.cli.certificates import Certificate, certificate_rule
from sojourn.cli.exits import Exit
from sojourn.cli.federation import Issuer, Match, Platform, rule_of
from sojourn.cli.manage import AsJson
from sojourn.cli.manage import Profile as Chosen
from sojourn.cli.output import show_json, show_table
from sojourn.client.caller import ClientCaller, prove, send_json, with_nonce
from sojourn.client.clock import EdgeClock
from sojourn.client.jsonfacts import members, text, text_or_none
from sojourn.client.profile import Profile, profile_path, save_profile
from sojourn.client.signing import Es256Key
from sojourn.client.transport import Answer, Transport
from sojourn.core.errors import Conflict, Invalid, NotFound
from sojourn.core.ids import CLIENT

app = App(name="client", help="Who may ask: workloads, guards and operators.")


@app.command
def add(
    name: str,
    /,
    *,
    owner: str,
    role: Literal["workload", "guard", "operator"] = "workload",
    audience: Annotated[str | None, Parameter(help="For a guard: the API it stands before.")] = None,
    out: Annotated[
        Path | None, Parameter(help="Where the profile goes; default: the profile folder.")
    ] = None,
    github: Platform = False,
    gitlab: Platform = False,
    kubernetes: Platform = False,
    oidc: Platform = False,
    spiffe: Platform = False,
    issuer: Issuer = None,
    match: Match = None,
    certificate: Certificate = None,
    profile: Chosen = None,
    as_json: AsJson = False,
) -> int:
    """Register a client: makes its key here and writes its 0600 profile; or by platform or certificate."""
    platforms = {
        "github_actions": github,
        "gitlab_ci": gitlab,
        "kubernetes": kubernetes,
        "oidc": oidc,
        "spiffe": spiffe,
    }

    def work() -> int:
        body: dict[str, object] = {"name": name, "role": role, "owner": owner}
        if federated := rule_of(platforms, issuer, match):
            return _federate({**body, **certificate_rule(certificate), **federated}, profile, as_json)
        body |= {"audience": audience} if audience else {}
        if known_by := certificate_rule(certificate):
            return _certify({**body, **known_by}, profile, as_json)
        mine, key = profile_of(profile), Es256Key.generate()
        path = out or profile_path(role, os.environ)
        _refuse_to_overwrite(path)
        body["jwk"] = dict(key.public_jwk)
        answer = caller_of(profile).ask("POST", "/v1/clients", body).json()
        client = text_or_none(answer, "id") or text(answer, "client_id")
        save_profile(path, Profile(mine.issuer, client, name, role, key, mine.log_vkey, audience))
        if as_json:
            show_json({"client": answer, "profile": str(path)})
        else:
            print(f"{role} {name} is {client}; its profile is {path}")
        return Exit.OK

    return guarded(work, as_json=as_json)


def _federate(body: dict[str, object], profile: str | None, as_json: bool) -> int:
    answer = caller_of(profile).ask("POST", "/v1/clients", body).json()
    if as_json:
        show_json({"client": answer, "profile": None})
        return Exit.OK
    server = profile_of(profile).issuer
    print(f"workload {body['name']} is {text(answer, 'id')}; it has no key, its platform vouches for it")
    print(f"there: sojourn run --server {server} --client {body['name']} --task KIND:REF -- CMD")
    return Exit.OK


def _certify(body: dict[str, object], profile: str | None, as_json: bool) -> int:
    answer = caller_of(profile).ask("POST", "/v1/clients", body).json()
    if as_json:
        show_json({"client": answer, "profile": None})
        return Exit.OK
    print(f"{body['role']} {body['name']} is {text(answer, 'id')}; it is known by its certificate")
    if body["role"] == "workload":
        server = profile_of(profile).issuer
        named = f"--client {body['name']} --evidence mtls:FOLDER"
        print(f"there: sojourn run --server {server} {named} --task KIND:REF -- CMD")
    return Exit.OK


@app.command(name="ls")
def list_clients(*, profile: Chosen = None, as_json: AsJson = False) -> int:
    """List the clients."""

    def work() -> int:
        answer = caller_of(profile).ask("GET", "/v1/clients").json()
        if as_json:
            show_json(answer)
            return Exit.OK
        rows = (
            (c.get("id"), c.get("name"), c.get("role"), c.get("owner"), c.get("attestor"))
            for c in members(answer, "clients")
        )
        show_table(("CLIENT", "NAME", "ROLE", "OWNER", "BY"), rows)
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def rm(client: str, /, *, profile: Chosen = None, as_json: AsJson = False) -> int:
    """Remove a client, by its id or its name; its sessions end."""

    def work() -> int:
        caller = caller_of(profile)
        found = _id_of(caller, client)
        answer = caller.ask("DELETE", f"/v1/clients/{name_in_path(found)}").json()
        if as_json:
            show_json(answer)
        else:
            print(f"client {client} is removed; its sessions end")
        return Exit.OK

    return guarded(work, as_json=as_json)


def _id_of(caller: ClientCaller, named: str) -> str:
    if named.startswith(f"{CLIENT}_"):
        return named
    living = (
        one
        for one in members(caller.ask("GET", "/v1/clients").json(), "clients")
        if one.get("name") == named and one.get("removed_at") is None
    )
    found = next(living, None)
    if found is None:
        raise NotFound("unknown_client", f"there is no client `{named}`; `sojourn client ls` shows them")
    return text(found, "id")


def login(
    link: Annotated[
        str | None, Parameter(help="The one-time link; without it, read from standard input.")
    ] = None,
    /,
    *,
    name: str | None = None,
    out: Path | None = None,
    as_json: AsJson = False,
) -> int:
    """Become an operator: makes a key here and spends the one-time link for it."""

    def work() -> int:
        issuer, secret = split_link(link or input())
        path = out or profile_path("operator", os.environ)
        key, transport = Es256Key.generate(), Transport(issuer)
        told = transport.send("GET", "/.well-known/sojourn", {}).json()
        body = {"link": secret, "jwk": dict(key.public_jwk), **({"name": name} if name else {})}

        def send() -> Answer:
            proof = prove(key, EdgeClock(), "POST", transport.url("/v1/login"), nonce=transport.nonce)
            return send_json(transport, "POST", "/v1/login", body, headers={"DPoP": proof})

        answer = with_nonce(send).json()
        client, called = text(answer, "client_id"), text(answer, "name")
        vkey = text_or_none(told, "log_vkey")
        save_profile(path, Profile(text(answer, "issuer"), client, called, "operator", key, vkey))
        if as_json:
            show_json({"client_id": client, "name": called, "profile": str(path), "log_vkey": vkey})
        else:
            print(f"operator {called} is {client}; the profile is {path}")
        return Exit.OK

    return guarded(work, as_json=as_json)


def split_link(link: str) -> tuple[str, str]:
    """The server's address and the one-time secret in `https://…/login#SECRET` (or `?link=SECRET`).

    Raises:
        Invalid: code `usage_link`.
    """
    parts = urlsplit(link.strip())
    secret = parts.fragment or next(iter(parse_qs(parts.query).get("link", ())), "")
    path = parts.path.removesuffix("/").removesuffix("/login").removesuffix("/v1")
    if not (parts.scheme and parts.netloc and secret):
        raise Invalid("usage_link", "expected a link such as `http://127.0.0.1:8787/login#…`")
    return f"{parts.scheme}://{parts.netloc}{path}", secret


def _refuse_to_overwrite(path: Path) -> None:
    if path.exists():
        raise Conflict("profile_exists", f"`{path}` holds a key already; choose another place with `--out`")
