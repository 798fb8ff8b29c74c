"""Finds credentials that lie about in files; asks no server and changes nothing."""

from sojourn.discovery.scan import Scan, Scanned

__all__ = ["Scan", "Scanned"]
