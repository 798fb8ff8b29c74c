"""Temporary credentials of an AWS role: one role session a session, denied by name when it ends."""

from sojourn.providers.aws_sts.provider import AwsSts

__all__ = ["AwsSts"]
