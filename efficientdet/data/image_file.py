"""Reading an image file that an annotation names: inside the data folder, whole, and of known size."""

from __future__ import annotations

import io
import os
import stat
import warnings
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from efficientdet.data.image_structure import (
    EXIF_ORIENTATION,
    JPEG_START,
    PNG_START,
    START_OF_SCAN,
    image_structure,
)
from efficientdet.errors import DataError, printable

MOST_BYTES = 1 << 28
"""256 MiB; what is larger is no photograph, and would not fit into one tf.train.Example beside others."""
MOST_PIXELS = 100_000_000
"""300 MB decoded. A PNG of a hundred kilobytes can say that it is larger: a decompression bomb."""
MOST_SCANS = 100
"""Progressive JPEGs have ten. Decoders go over all pixels for each, also for one of ten bytes."""
LONGEST_NAME = 4096
"""Characters, as file systems have it; to resolve a path of millions of parts would take days."""
TURNED_QUALITY = 95
# MPO is a JPEG with further pictures appended, as many cameras write it; decoders read the first.
_FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png"}
_OURS = ("JPEG", "PNG")
_CONVERTED = ("WEBP", "GIF", "BMP", "TIFF", "PPM")
# What brings an image stored in an EXIF orientation upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnusableError(DataError):
    """A file cannot be used; `reason` is the class under which the ledger counts it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class ImageFile:
    """An image as the examples hold it.

    encoded: the unchanged bytes of the file, unless `notes` say otherwise. image_format: `jpeg` or `png`. height,
    width: pixels as stored. orientation: EXIF's, 1 to 8; decoders of training do not apply it. notes: (reason,
    sentence) of what was changed.
    """

    encoded: bytes = field(repr=False)
    image_format: str
    height: int
    width: int
    orientation: int = 1
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def displayed_size(self) -> tuple[int, int]:
        """Height and width as a viewer shows it that applies the EXIF orientation."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)

    def as_stored(self) -> ImageFile:
        """The same with the note that a viewer shows it in another way than it is read."""
        message = f"is read as stored, though its EXIF orientation {self.orientation} has viewers turn or mirror it"
        return replace(self, notes=(*self.notes, ("orientation not applied", message)))

    def upright(self) -> ImageFile:
        """The image as a viewer shows it, encoded anew; raises UnusableError where it cannot be decoded."""
        try:
            turned = Image.open(io.BytesIO(self.encoded), formats=_OURS).transpose(_TURNS[self.orientation])
            kept = {"quality": TURNED_QUALITY} if self.image_format == "jpeg" else {}
            encoded = _encode(turned, self.image_format, **kept)
        except Exception as error:  # Decoders raise any type on damaged bytes.
            raise UnusableError("undecodable image", f"the image cannot be decoded ({error})") from error
        message = f"is stored in EXIF orientation {self.orientation} and was annotated upright; it was turned"
        notes = (*self.notes, ("turned upright", message))
        height, width = self.displayed_size
        return replace(self, encoded=encoded, height=height, width=width, orientation=1, notes=notes)


def locate(root: str | Path, *parts: str) -> Path:
    """The path of a file below the data folder `root`.

    Raises UnusableError, reason `outside data folder`, when `..`, an absolute path or a symbolic link leads
    out of it, or `unusable file name` for what no file system can hold.
    """
    shown = printable("/".join(filter(None, parts)))
    if sum(map(len, parts)) > LONGEST_NAME:
        raise UnusableError("unusable file name", f"{shown!r} is not a usable file name (File name too long)")
    *folders, name = parts
    try:
        home, folder = _resolved(str(root)), _resolved(os.path.join(root, *folders))  # noqa: PTH118 - it is fast
        path = folder / name
        # Most names are plain: one look at the file instead of one at each folder above it.
        if name in ("", ".", "..") or "/" in name or _is_link(path):
            path = path.resolve()
            folder = path
    except (OSError, ValueError, RuntimeError) as error:
        raise UnusableError("unusable file name", f"{shown!r} is not a usable file name ({error})") from error
    if not _is_inside(folder, home):
        raise UnusableError("outside data folder", f"{shown!r} leads out of the data folder {home}")
    return path


def _is_link(path: Path) -> bool:
    """Whether it is a symbolic link; not so for what is not there. Raises ValueError for what is no name at all."""
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False


@lru_cache(maxsize=256)
def _is_inside(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder)


@lru_cache(maxsize=256)
def _resolved(folder: str) -> Path:
    return Path(folder).resolve()


def read_image(root: str | Path, folder: str, name: str) -> ImageFile:
    """Reads `root`/`folder`/`name`, as `open_image` does its bytes.

    Raises UnusableError as `locate` and `open_image` do, or with reason `missing image file` or `too large`.
    """
    path = locate(root, folder, name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("missing image file", f"the image file {path} is not a regular file")
        if status.st_size > MOST_BYTES:
            raise UnusableError("too large", f"the image file {path} has {status.st_size} bytes, above {MOST_BYTES}")
        with path.open("rb", buffering=0) as file:
            encoded = file.readall()
    except OSError as error:
        cause = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise UnusableError("missing image file", f"the image file {path} {cause}") from error
    return open_image(encoded, f"the image file {path}")


def open_image(encoded: bytes, shown: str) -> ImageFile:
    """An image that training can decode; of most JPEGs no pixel is decoded to know that.

    JPEG and PNG stay as they are, CMYK, 16-bit and palettes included, of which TensorFlow makes 8-bit colour. WebP,
    GIF, BMP, TIFF and PPM become 8-bit PNG, of an animation the first picture.

    Raises UnusableError, naming the image as `shown`, with reason `undecodable image` or `too large`.
    """
    known = image_structure(encoded)
    scans = known.scans if known else encoded.startswith(JPEG_START) * encoded.count(START_OF_SCAN)
    if scans > MOST_SCANS:
        raise UnusableError("too large", f"{shown} is drawn in {scans} scans, above {MOST_SCANS}")
    ours = encoded.startswith((JPEG_START, PNG_START))
    try:
        if known and known.usual and known.height * known.width:
            _check_size(known.height, known.width, shown)
            _load(known.skeleton)
            return ImageFile(encoded, known.image_format, known.height, known.width, known.orientation)
        with warnings.catch_warnings():  # PIL's own limit warns below ours.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(encoded), formats=_OURS if ours else _CONVERTED)
        width, height = image.size
        _check_size(height, width, shown)
        if not ours:
            return _convert(image, shown)
        _decode(encoded)
    except UnusableError:
        raise
    except Image.DecompressionBombError as error:
        raise UnusableError("too large", f"{shown} has more than {MOST_PIXELS} pixels") from error
    except Exception as error:  # Decoders raise any type on damaged bytes.
        kinds = "a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM image"
        cause = f"not {kinds}" if isinstance(error, UnidentifiedImageError) else _cause(error)
        raise UnusableError("undecodable image", f"{shown} cannot be decoded ({cause})") from error
    orientation = known.orientation if known else 1
    return ImageFile(encoded, _FORMATS[str(image.format)], height, width, orientation)


@lru_cache(maxsize=1024)
def _load(skeleton: bytes) -> None:
    """Raises what a decoder does. The images of one camera or program have one skeleton, which is looked at once."""
    Image.open(io.BytesIO(skeleton), formats=_OURS).load()


def _check_size(height: int, width: int, shown: str) -> None:
    if height * width > MOST_PIXELS:
        raise UnusableError("too large", f"{shown} has {width}x{height} pixels, above {MOST_PIXELS} in all")


def _convert(image: Image.Image, shown: str) -> ImageFile:
    """Its first picture as PNG."""
    notes = [("converted image", f"is {image.format}, and was converted to PNG")]
    if getattr(image, "is_animated", False):
        notes.append(("animation", "has several pictures, of which the first was taken"))
    image.load()  # PIL turns a TIFF upright as it loads it; what is left then is the orientation of the pixels.
    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    known = orientation if orientation in _TURNS else 1
    picture = eight_bits(image)
    return ImageFile(_encode(picture, "png"), "png", picture.height, picture.width, known, tuple(notes))


def eight_bits(image: Image.Image) -> Image.Image:
    """The picture in 8-bit colour or greyscale; of 16 bits the upper eight, as decoders do with PNG."""
    if image.mode == "F":
        raise ValueError("its pixels are floating point numbers")
    if not image.mode.startswith("I"):
        return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    values = np.asarray(image)
    if values.min() < 0 or values.max() >= 1 << 16:
        raise ValueError("its pixels have more than 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _encode(image: Image.Image, image_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format.upper(), **options)
    return buffer.getvalue()


def _decode(encoded: bytes) -> None:
    """Decodes as training does: what it cannot read must not get there, whatever another decoder makes of it."""
    import tensorflow as tf

    tf.io.decode_image(encoded, channels=3, expand_animations=False)


def _cause(error: Exception) -> str:
    """A decoder's message, of TensorFlow's the part that is for people."""
    return str(error).split(" [Op:")[0].rpartition("}} ")[2]
