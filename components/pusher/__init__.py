"""A blessed bundle becomes a registered version, and the alias moves to it; or it is told why not."""

from components.pusher.component import Pusher

__all__ = ["Pusher"]
