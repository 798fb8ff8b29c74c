"""Short-lived accounts in MariaDB and MySQL: made for one session, killed and dropped when it ends."""

from sojourn.providers.mysql.config import Config
from sojourn.providers.mysql.provider import MySQL

__all__ = ["Config", "MySQL"]
