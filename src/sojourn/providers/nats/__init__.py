"""Short-lived signing keys in a NATS account: made for one session, removed when it ends."""

from sojourn.providers.nats.config import Config
from sojourn.providers.nats.provider import NATS

__all__ = ["Config", "NATS"]
