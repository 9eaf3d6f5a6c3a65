"""The setting `metadata`: a sqlite file in the pipeline's root, or the database of a team."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

SQLITE = "sqlite"
PORTS = {"mysql": 3306, "postgresql": 5432}
PASSWORDS = {"mysql": "MYSQL_PWD", "postgresql": "PGPASSWORD"}
"""Where each server's own client library looks for the password."""
FORM = "mysql://USER@HOST:PORT/DATABASE or postgresql://USER@HOST:PORT/DATABASE"


class Database(NamedTuple):
    """A database of a MySQL, MariaDB or PostgreSQL server."""

    engine: str
    user: str
    host: str
    port: int
    name: str

    @property
    def password(self) -> str:
        """The environment variable that holds the password."""
        return PASSWORDS[self.engine]

    def __str__(self) -> str:
        return f"{self.engine}://{self.user}@{self.host}:{self.port}/{self.name}"


def database(uri: str) -> Database | None:
    """The database that `uri` names; None for `sqlite`.

    Raises:
      ValueError: with a sentence that does not repeat the `uri`, which may hold a password.
    """
    if uri == SQLITE:
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        # What urllib says may quote a part of a password.
        raise ValueError(f"metadata: is no address with a port in numbers; give {SQLITE}, {FORM}") from error
    if parts.scheme not in PORTS:
        raise ValueError(f"metadata: is neither {SQLITE} nor an address; give {SQLITE}, {FORM}")
    if parts.password is not None:
        raise ValueError(
            f"metadata: holds a password, which others can read there; take it out and set {PASSWORDS[parts.scheme]}"
        )
    name = parts.path.removeprefix("/")
    missing = [
        what for what, given in (("user", parts.username), ("host", parts.hostname), ("database", name)) if not given
    ]
    if missing or parts.query or parts.fragment or re.search(r"[\s'\\/]", unquote(f"{parts.username}{name}")):
        what = f"lacks the {missing[0]}" if missing else "has more than a user, host, port and database"
        raise ValueError(f"metadata: {what}; give {FORM}")
    user, host = unquote(parts.username or ""), parts.hostname or ""
    # MySQL's library takes localhost for a socket file.
    host = "127.0.0.1" if host == "localhost" else host
    return Database(parts.scheme, user, host, port or PORTS[parts.scheme], unquote(name))
