"""What follows a run by what is logged, to show it or to keep it."""

from __future__ import annotations

import logging
import re
from abc import abstractmethod

OURS = ("efficientdet", "components", "pipeline")
"""Whose own messages are for the user."""
# LocalDagRunner tells what becomes of its nodes only in its log.
ANNOUNCEMENT = re.compile(r"Component (\S+) is (running|finished)\.")


class RunFollower(logging.Handler):
    """A handler that costs no run: what it cannot read, show or write is said where logging says so, if anywhere."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        """Takes notice of a record."""
        try:
            self.follow(record, record.getMessage())
        except (Exception, SystemExit):  # with the latter rich answers a pipe that nobody reads any more
            self.handleError(record)

    @abstractmethod
    def follow(self, record: logging.LogRecord, message: str) -> None:
        """What there is to do with a record, whose arguments are in the message."""
