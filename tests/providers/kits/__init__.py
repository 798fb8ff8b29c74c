"""The kits of every provider with a real server, by the provider's name."""

from tests.providers.kits.servers import ALL, FAULTY, KITS, Servers

__all__ = ["ALL", "FAULTY", "KITS", "Servers"]
