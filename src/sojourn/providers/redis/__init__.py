"""Short-lived ACL users in Redis: made for one session, stripped, cut off and removed when it ends."""

from sojourn.providers.redis.config import Config
from sojourn.providers.redis.provider import Redis

__all__ = ["Config", "Redis"]
