"""Reading an image file that an annotation names: inside the data folder, whole, and of known size."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from efficientdet.errors import DataError

# MPO is a JPEG with further pictures appended, as many cameras write it; decoders read the first.
FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png"}


class UnusableError(DataError):
    """A file cannot be used; `reason` is the class under which the ledger counts it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class ImageFile:
    """The unchanged bytes of an image file, its format (`jpeg` or `png`) and its size in pixels as stored.

    An EXIF orientation is not applied, neither here nor by the decoder of the training.
    """

    encoded: bytes = field(repr=False)
    image_format: str
    height: int
    width: int


def locate(root: str | Path, *parts: str) -> Path:
    """The path of a file below the data folder `root`.

    Raises UnusableError, reason `outside data folder`, when `..`, an absolute path or a symbolic link leads
    out of it, or `unusable file name` for what no file system can hold.
    """
    root = Path(root).resolve()
    try:
        path = root.joinpath(*parts).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise UnusableError("unusable file name", f"{'/'.join(parts)!r} is not a usable file name ({error})") from error
    if not path.is_relative_to(root):
        raise UnusableError("outside data folder", f"{'/'.join(parts)!r} leads out of the data folder {root}")
    return path


def read_image(root: str | Path, folder: str, name: str) -> ImageFile:
    """Reads `root`/`folder`/`name` and decodes it once to prove it whole.

    Raises UnusableError as `locate` does, or with reason `missing image file` or `undecodable image`.
    """
    path = locate(root, folder, name)
    try:
        encoded = path.read_bytes()
    except OSError as error:
        cause = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise UnusableError("missing image file", f"the image file {path} {cause}") from error
    try:
        image = Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG"])
        width, height = image.size
        # A JPEG is decoded at an eighth of its size: all of its data is read, at two thirds of the cost.
        image.draft(None, (max(width // 8, 1), max(height // 8, 1)))
        image.load()
    except Exception as error:  # Decoders raise any type on damaged bytes.
        cause = "not a JPEG or PNG image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UnusableError("undecodable image", f"the image file {path} cannot be decoded ({cause})") from error
    return ImageFile(encoded, FORMATS[str(image.format)], height, width)
