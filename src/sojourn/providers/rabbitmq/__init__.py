"""Short-lived users in RabbitMQ: made for one session, barred, cut off and deleted when it ends."""

from sojourn.providers.rabbitmq.config import Config
from sojourn.providers.rabbitmq.provider import RabbitMQ

__all__ = ["Config", "RabbitMQ"]
