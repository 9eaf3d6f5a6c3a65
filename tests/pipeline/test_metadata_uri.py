"""What the setting `metadata` may say."""

from __future__ import annotations

import pytest

from efficientdet.errors import ConfigError
from pipeline.metadata_uri import Database, database


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite", None),
        ("mysql://me@db.example/team", Database("mysql", "me", "db.example", 3306, "team")),
        ("mysql://me@localhost:3307/team", Database("mysql", "me", "127.0.0.1", 3307, "team")),
        ("postgresql://a%40b@db/team", Database("postgresql", "a@b", "db", 5432, "team")),
    ],
)
def test_an_address_is_read(uri, expected):
    assert database(uri) == expected


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("oracle://me@db/team", "neither sqlite nor an address"),
        ("metadata.db", "neither sqlite nor an address"),
        ("mysql://db/team", "lacks the user"),
        ("mysql://me@/team", "lacks the host"),
        ("postgresql://me@db", "lacks the database"),
        ("postgresql://me@db/team?sslmode=require", "has more than"),
        ("postgresql://me@db/te%20am", "has more than"),
        ("mysql://me:secret@db/team", "holds a password.*MYSQL_PWD"),
        ("postgresql://me:secret#x@db/team", "no address with a port in numbers"),
    ],
)
def test_what_is_none_is_refused_without_repeating_it(config, uri, says):
    with pytest.raises(ConfigError, match=says) as refused:
        config.override({"metadata": uri})
    assert "secret" not in str(refused.value)
