"""`sojourn signer`: the private halves of the server's signing keys, in a process of their own."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sojourn.cli.calling import guarded
from sojourn.cli.exits import Exit
from sojourn.cli.typed_secret import read_secret
from sojourn.core.errors import Invalid


def signer(
    *,
    socket: Annotated[Path, Parameter(help="Where to listen; a 0600 socket of the server's user.")],
    keys: Annotated[Path | None, Parameter(help="A 0700 folder with `signing.key`; made if missing.")] = None,
    pkcs11: Annotated[Path | None, Parameter(help="Or the module of a PKCS #11 token.")] = None,
    token: Annotated[str | None, Parameter(help="The label of that token.")] = None,
    pin_file: Annotated[
        Path | None,
        Parameter(allow_leading_hyphen=True, help="A 0600 file with its PIN; `-`: standard input."),
    ] = None,
    user: Annotated[str | None, Parameter(help="The user that the server runs as; default: ours.")] = None,
) -> int:
    """Sign for the server of one user, until it is stopped; gives no private key away."""

    def work() -> int:
        from sojourn.adapters.file_keys import signing_vault
        from sojourn.adapters.signer_process import Signer
        from sojourn.ports.keys import KeyVault

        vault: KeyVault
        if (keys is None) == (pkcs11 is None) or (pkcs11 is None) != (token is None):
            raise Invalid("usage_signer", "expected `--keys`, or `--pkcs11` with `--token`")
        if pkcs11 is not None and token is not None:
            from sojourn.adapters.pkcs11_vault import Pkcs11Vault

            vault = Pkcs11Vault(str(pkcs11), token, read_secret("PIN", pin_file))
        else:
            assert keys is not None
            vault = signing_vault(keys)
        with Signer(socket, vault, uid=_uid(user)) as serving:
            print(f"signing at {socket}", flush=True)
            serving.serve_forever()
        return Exit.OK

    return guarded(work, as_json=False)


def _uid(user: str | None) -> int:
    if user is None:
        return os.geteuid()
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise Invalid("usage_signer", f"there is no user `{user[:40]}`") from error
