"""What the markers of a JPEG and the chunks of a PNG say about an image, without decoding it."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
EXIF_ORIENTATION = 0x0112
# Baseline, extended and progressive Huffman coding (ITU-T T.81, table B.1); no decoder of the field knows the others.
_USUAL_FRAMES = (0xC0, 0xC1, 0xC2)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@dataclass(frozen=True)
class Structure:
    """Of an image as stored.

    image_format: `jpeg` or `png`. height, width: pixels. orientation: EXIF's, 1 to 8; 1 where the file gives none.
    usual: every decoder will make 8-bit greyscale or colour of it.
    """

    image_format: str
    height: int
    width: int
    orientation: int
    usual: bool


def image_structure(encoded: bytes) -> Structure | None:
    """The structure of a JPEG or PNG that is whole; None for anything else, and for one that is damaged or cut off."""
    try:
        if encoded.startswith(JPEG_START):
            return _jpeg(encoded)
        if encoded.startswith(PNG_START):
            return _png(encoded)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg(data: bytes) -> Structure | None:
    """Walks the markers of ITU-T T.81, appendix B."""
    position, orientation, frame, sound = 2, 1, None, True
    tables = set()
    while True:
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
        marker = data[position + 1]
        if data[position] != 0xFF or marker in (0x00, 0x01, 0xD8) or 0xD0 <= marker <= 0xD7:
            return None
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        if length < 2 or position + 2 + length > len(data):
            return None
        if marker in _FRAMES:
            if frame:
                return None
            frame = marker, *struct.unpack_from(">BHHB", data, position + 4)
            sound = sound and _are_components(data[position + 9 : position + 2 + length])
        elif marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            orientation = _orientation(data[position + 4 : position + 2 + length])
        elif marker in _CHECKS:
            sound = sound and _CHECKS[marker](data[position + 4 : position + 2 + length])
        tables.add(marker)
        position += 2 + length
        if marker == 0xDA:
            found = _MARKER.search(data, position)
            if not found or not frame:
                return None
            position = found.start()
    if not frame or 0xDA not in tables:
        return None
    coding, precision, height, width, channels = frame
    usual = coding in _USUAL_FRAMES and precision == 8 and channels in (1, 3) and {0xDB, 0xC4} <= tables
    return Structure("jpeg", height, width, orientation, usual and sound)


def _are_components(components: bytes) -> bool:
    """Whether a frame's components have sampling factors of 1 to 4 and one of four tables each."""
    factors = [(sampling >> 4, sampling & 15) for sampling in components[2::3]]
    fit = len(components) == 1 + 3 * components[0] and all(1 <= side <= 4 for pair in factors for side in pair)
    return fit and all(table < 4 for table in components[3::3])


def _are_codes(tables: bytes) -> bool:
    """Whether those are Huffman tables: of each length no more codes than there is room for (T.81, annex C)."""
    position = 0
    while position < len(tables):
        counts = tables[position + 1 : position + 17]
        values = tables[position + 17 : position + 17 + sum(counts)]
        code = 0
        for length, count in enumerate(counts, start=1):
            code = 2 * code + count
            if count and code >= 1 << length:
                return False
        is_dc = tables[position] < 0x10
        if tables[position] & 0xEC or len(values) < sum(counts) or (is_dc and max(values, default=0) > 15):
            return False
        position += 17 + len(values)
    return True


def _are_divisors(tables: bytes) -> bool:
    """Whether those are quantization tables, of 64 numbers of one or two bytes each, none of them zero."""
    position = 0
    while position < len(tables):
        size = 128 if tables[position] & 0x10 else 64
        values = tables[position + 1 : position + 1 + size]
        if tables[position] & 0xEC or len(values) < size or 0 in (values if size == 64 else ()):
            return False
        position += 1 + size
    return True


def _is_scan(header: bytes) -> bool:
    """Whether a scan names one to four components with tables that there can be."""
    return len(header) == 4 + 2 * header[0] and not any(tables & 0xCC for tables in header[2:-3:2])


_CHECKS = {0xC4: _are_codes, 0xDB: _are_divisors, 0xDA: _is_scan}


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
    width, height, depth, colour, *_ = header
    usual = depth == 8 and colour in _PNG_CHANNELS and (colour != 3 or b"PLTE" in seen) and b"acTL" not in seen
    return Structure("png", height, width, orientation, usual)


def _orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 for one that cannot be read."""
    parsed = Image.Exif()
    try:
        parsed.load(exif)
        value = parsed.get(EXIF_ORIENTATION, 1)
    except Exception:  # The parser raises any type on damaged bytes.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
