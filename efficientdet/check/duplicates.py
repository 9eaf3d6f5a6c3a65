"""Images that are the same or look the same, within a split and across splits.

The same: equal sha256 of the file. Looking the same: the 64 bits of a difference hash (neighbouring means of a grey
9x8 thumbnail compared) differ in at most seven places, and 16x16 thumbnails correlate. The first finds the candidates,
the second judges them. Files encoded or scaled anew are found, most crops and all mirrored ones are not.

Four words of 16 bits that differ in seven places together have one that differs in one at most, so a candidate shares
a word, but for a bit, with the image: 68 look-ups in an index on disk, however many images there are.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from efficientdet.check.spill import Spill, storable
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.ledger import Finding

MAX_DISTANCE = 7  # of 64 bits; unlike photographs differ in 9 and more, those encoded again in 6 and fewer
LEAST_CORRELATION = 0.95
FLAT = 2.0  # grey levels: deviation within a thumbnail that shows nothing, and how far two such may differ
THUMBNAIL = 16
WORDS = 4
CANDIDATES = 256  # looked at for each word; only images with next to nothing on them have more

Thumbnail = NDArray[np.uint8]


@dataclass(frozen=True)
class Sight:
    """How an image is recognised: the sha256 of its file, its difference hash, and its 16x16 grey thumbnail."""

    digest: bytes
    hash: int
    thumbnail: Thumbnail

    @classmethod
    def of(cls, encoded: bytes) -> Sight:
        """Of a JPEG or PNG that decodes."""
        image: Image.Image = Image.open(io.BytesIO(encoded))
        image.draft("L", (64, 64))
        if image.mode.startswith("I"):
            # Of 16 bits, as Pillow knows them; its own conversion would make everything white.
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        grey = image.convert("L")
        small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
        bits = np.packbits(small[:, 1:] > small[:, :-1])
        thumbnail = np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))
        return cls(hashlib.sha256(encoded).digest(), int.from_bytes(bits.tobytes(), "big"), thumbnail)


@dataclass(frozen=True)
class Twin:
    """An earlier image: its split, its record, its file, and whether its bytes are equal."""

    split: str
    record: str
    path: str
    exact: bool

    def finding(self, split: str, annotation: ImageAnnotation) -> Finding:
        """What is said of an image of `split` that has this twin."""
        name = {
            (True, True): "duplicate image",
            (True, False): "near-duplicate image",
            (False, True): "leaked image",
            (False, False): "nearly leaked image",
        }[self.split == split, self.exact]
        where = self.record if self.split == split else f"{self.record} of {self.split}"
        said = f"{'has the same bytes as' if self.exact else 'looks the same as'} {where}"
        return Finding(name, annotation.file, annotation.record, said, "noted", "image")


class DuplicateIndex:
    """All images so far; in its own tables of the spill."""

    def __init__(self, spill: Spill) -> None:
        self._db = spill.db
        self._db.execute(
            "CREATE TABLE images (split TEXT, record TEXT, path TEXT, digest BLOB, hash BLOB, thumbnail BLOB)"
        )
        self._db.execute("CREATE INDEX by_digest ON images (digest)")
        self._db.execute(
            "CREATE TABLE words (place INTEGER, word INTEGER, image INTEGER, PRIMARY KEY (place, word, image))"
            " WITHOUT ROWID"
        )

    def add(self, split: str, record: str, path: str, sight: Sight) -> list[Twin]:
        """Enters an image; the first twin among the earlier ones of its own split and the first of any other.

        A twin with equal bytes is preferred to one that looks the same.
        """
        twins: dict[bool, Twin] = {}
        known = False
        for twin in self._exact(sight):
            twins.setdefault(twin.split == split, twin)
        if len(twins) < 2:
            for twin, same_hash in self._near(sight):
                twins.setdefault(twin.split == split, twin)
                known |= same_hash and twin.split == split
        known |= True in twins and twins[True].exact
        row = self._db.execute(
            "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?)",
            (split, storable(record), storable(path), sight.digest, _packed(sight.hash), sight.thumbnail.tobytes()),
        ).lastrowid
        # Who finds the image that this one repeats need not find this one too: blank pages do not pile up.
        if not known:
            words = [(place, word, row) for place, word in enumerate(words_of(sight.hash))]
            self._db.executemany("INSERT INTO words VALUES (?, ?, ?)", words)
        return list(twins.values())

    def _exact(self, sight: Sight) -> Iterator[Twin]:
        query = "SELECT split, record, path, MIN(rowid) FROM images WHERE digest = ? GROUP BY split ORDER BY MIN(rowid)"
        for split, record, path, _ in self._db.execute(query, (sight.digest,)):
            yield Twin(split, record, path, exact=True)

    def _near(self, sight: Sight) -> Iterator[tuple[Twin, bool]]:
        """Images that look the same in their order, and whether their hash is equal."""
        found: dict[int, tuple[Twin, bool]] = {}
        for place, word in enumerate(words_of(sight.hash)):
            near = [word, *(word ^ 1 << bit for bit in range(16))]
            query = (
                "SELECT images.rowid, split, record, path, hash, thumbnail FROM words JOIN images"
                f" ON images.rowid = image WHERE place = ? AND word IN ({','.join('?' * len(near))}) LIMIT ?"
            )
            for number, split, record, path, packed, thumbnail in self._db.execute(query, (place, *near, CANDIDATES)):
                if number in found or (_unpacked(packed) ^ sight.hash).bit_count() > MAX_DISTANCE:
                    continue
                if alike(sight.thumbnail, np.frombuffer(thumbnail, np.uint8)):
                    found[number] = Twin(split, record, path, exact=False), _unpacked(packed) == sight.hash
        yield from (found[number] for number in sorted(found))


def alike(one: Thumbnail, other: Thumbnail) -> bool:
    """Whether two thumbnails of equal size correlate; of those that show nothing, whether they are equally bright."""
    a, b = (thumbnail.astype(np.float64).ravel() for thumbnail in (one, other))
    if min(a.std(), b.std()) <= FLAT:
        return bool(np.abs(a - b).mean() <= FLAT)
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    return bool(covariance >= LEAST_CORRELATION * a.std() * b.std())


def words_of(bits: int) -> tuple[int, ...]:
    """The four words of 16 bits of a hash."""
    return tuple(bits >> 16 * place & 0xFFFF for place in range(WORDS))


def _packed(bits: int) -> bytes:
    return struct.pack(">Q", bits)  # SQLite's integers are signed


def _unpacked(packed: bytes) -> int:
    return int(struct.unpack(">Q", packed)[0])
