"""Credentials of any HTTP API that can create, delete and check them, as a file describes it."""

from sojourn.providers.generic_http.provider import GenericHttp

__all__ = ["GenericHttp"]
