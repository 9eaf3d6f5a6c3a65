"""What the markers of a JPEG and the chunks of a PNG say about an image, without decoding it."""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
EXIF_ORIENTATION = 0x0112
START_OF_SCAN = b"\xff\xda"
_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
# Baseline, extended and progressive Huffman coding (ITU-T T.81, table B.1); no decoder of the field knows the others.
_USUAL_FRAMES = (0xC0, 0xC1, 0xC2)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Comments, and application data but for JFIF's and Adobe's.
_PASSED_OVER = frozenset((*range(0xE1, 0xEE), 0xEF, 0xFE))
_HIGHEST = 65_500  # what libjpeg takes
_ROWS = 8
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True)
class Structure:
    """Of an image as stored.

    image_format: `jpeg` or `png`. height, width: pixels. orientation: EXIF's, 1 to 8; 1 where the file gives none.
    usual: a JPEG of 8-bit greyscale or colour in a coding that every decoder knows. scans: of a JPEG, over all of its
    pixels each. skeleton: a JPEG of a few rows with all but the coded pixels. To those no decoder objects, whatever
    they are: what it can object to is in the skeleton. In a PNG it is in the pixels.
    """

    image_format: str
    height: int
    width: int
    orientation: int
    usual: bool
    scans: int = 1
    skeleton: bytes = field(default=b"", repr=False, compare=False)


def image_structure(encoded: bytes) -> Structure | None:
    """The structure of a JPEG or PNG that is whole; None for anything else, and for one that is damaged or cut off."""
    try:
        if encoded.startswith(JPEG_START):
            return _jpeg(encoded)
        if encoded.startswith(PNG_START):
            return _png(encoded)
    except (struct.error, IndexError, ValueError):
        pass
    return None


def _jpeg(data: bytes) -> Structure | None:
    """What the segments of ITU-T T.81, appendix B, say."""
    orientation, frame = 1, None
    seen: Counter[int] = Counter()
    kept = [data[:2]]
    for marker, start, end in _segments(data):
        segment = data[start:end]
        if marker in _FRAMES:
            if frame:
                return None
            frame = marker, *struct.unpack_from(">BHHB", segment, 4)
            segment = segment[:5] + struct.pack(">H", min(frame[2], _ROWS)) + segment[7:]
        elif marker == 0xE1 and segment[4:10] == b"Exif\0\0":
            orientation = _orientation(segment[4:])
        elif marker == _SCAN and not frame:
            return None
        if marker not in _PASSED_OVER:
            kept.append(segment)
        seen[marker] += 1
    if not frame or not seen[_SCAN]:
        return None
    coding, precision, height, width, channels = frame
    usual = coding in _USUAL_FRAMES and precision == 8 and channels in (1, 3) and height <= _HIGHEST
    return Structure("jpeg", height, width, orientation, usual, seen[_SCAN], b"".join([*kept, _JPEG_END]))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment up to the end of the image; raises ValueError where none follows."""
    position = 2
    while True:
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
        marker = data[position + 1]
        if data[position : position + 2] == _JPEG_END:
            return
        if data[position] != 0xFF or marker in (0x00, 0x01, 0xD8) or 0xD0 <= marker <= 0xD7:
            raise ValueError("no marker")
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        if not position + 4 <= end <= len(data):
            raise ValueError("cut off")
        yield marker, position, end
        position = end
        if marker == _SCAN:
            found = _MARKER.search(data, end)
            if not found:
                raise ValueError("cut off")
            position = found.start()


def _png(data: bytes) -> Structure | None:
    """Walks the chunks of the PNG specification, their sums included."""
    position, header, orientation, seen = 8, None, 1, set()
    while b"IEND" not in seen:
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if zlib.crc32(memoryview(data)[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return None
        if kind == b"IHDR":
            header = struct.unpack_from(">IIBBBBB", data, position + 8)
        elif kind == b"eXIf":
            orientation = _orientation(b"Exif\0\0" + data[position + 8 : end])
        seen.add(kind)
        position = end + 4
    if not header or b"IDAT" not in seen:
        return None
    width, height, *_ = header
    return Structure("png", height, width, orientation, usual=False)


def _orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 for one that cannot be read."""
    parsed = Image.Exif()
    try:
        parsed.load(exif)
        value = parsed.get(EXIF_ORIENTATION, 1)
    except Exception:  # The parser raises any type on damaged bytes.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
