"""What an operator says of a host is an argument of a program, and read as such."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers.ssh import OpenSsh
from sojourn.providers.ssh.certificates import private_pem
from tests.providers.http_rig import ShiftedClock

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
GOOD: dict[str, object] = {"host": "db1.example.test", "host_key": HOST_KEY, "users": ["deploy"]}
KEY = private_pem(Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    "change",
    [
        {"host": "-oProxyCommand=sh"},
        {"host": "a b"},
        {"host": ""},
        {"host_key": "ssh-ed25519"},
        {"host_key": f"{HOST_KEY}\n* ssh-ed25519 AAAA"},
        {"admin_user": "root -o x"},
        {"admin_user": "-root"},
        {"program": "/usr/bin/x; rm -rf /"},
        {"program": "relative"},
        {"state": "/var/../etc"},
        {"users": []},
        {"users": ["deploy;id"]},
        {"port": 0},
        {"colour": "red"},
    ],
    ids=str,
)
def test_settings_that_would_be_more_than_an_argument_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="bad_target"):
        OpenSsh.configured({**GOOD, **change}, {}, KEY, ShiftedClock())


@pytest.mark.parametrize("secret", ["", "no key", KEY.reveal()[:-60]])
def test_a_secret_that_is_no_key_is_refused_unsaid(secret: str) -> None:
    with pytest.raises(Invalid, match="bad_target") as caught:
        OpenSsh.configured(GOOD, {}, Secret(secret), ShiftedClock())

    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize("template", [{}, {"user": "root"}, {"user": "deploy", "sudo": True}])
def test_a_template_for_another_user_is_refused(template: dict[str, object]) -> None:
    provider = OpenSsh.configured(GOOD, {}, KEY, ShiftedClock())

    with pytest.raises(Invalid, match="bad_template"):
        provider.check_template(template)
