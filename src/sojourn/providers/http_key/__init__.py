"""An API key that stays with us: requests of a session go through us, and the key is added on the way."""

from sojourn.providers.http_key.provider import HttpKey

__all__ = ["HttpKey"]
