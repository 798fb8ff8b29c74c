"""Bounds on policy text, judged before the engine's parser sees it.

The parser recurses: some thousand brackets or operators in one policy overflow its stack and
take the process with them (measured: 2,000 do, 500 do not). We count tokens as the engine's
own lexer does, so no policy that is handed on can be so deep.
"""

from __future__ import annotations

import re
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.core.policy import MOST_BYTES

MOST_POLICIES: Final = 400
MOST_TOKENS: Final = 600
"""Of one policy."""

_TOKEN: Final = re.compile(
    r"""(?P<skip>\s+|//[^\n\r]*)
    |"(?:\\.|[^"\\])*"
    |[A-Za-z_][A-Za-z0-9_]*
    |[0-9]+
    |(?P<end>;)
    |.""",
    re.VERBOSE | re.DOTALL,
)


def check_bounds(text: str) -> None:
    """Refuse text that is too large, or a policy that is too long.

    Raises:
        Invalid: code `bad_policy`.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise Invalid("bad_policy", f"expected at most {MOST_BYTES} bytes of policies")
    policies = tokens = 0
    for found in _TOKEN.finditer(text):
        if found["skip"]:
            continue
        tokens += 1
        if tokens > MOST_TOKENS:
            raise Invalid(
                "bad_policy", f"policy {policies + 1}: expected at most {MOST_TOKENS} tokens in one"
            )
        if found["end"]:
            policies, tokens = policies + 1, 0
    if policies > MOST_POLICIES:
        raise Invalid("bad_policy", f"expected at most {MOST_POLICIES} policies, got {policies}")
