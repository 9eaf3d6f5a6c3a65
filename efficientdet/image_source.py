"""Image files to detect in: one, those below a folder, or those that a pattern matches.

A picture is read as it is stored, as in training: an EXIF orientation is not applied, and the boxes are pixels of the
stored image. Transparency is dropped, of an animation the first picture is read, of 16 bits the upper eight. PNGs have
the very pixels that training sees; of a JPEG, which TensorFlow decodes faster and less exactly, they are some of 256
levels away, one on average.
"""

from __future__ import annotations

import glob
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from efficientdet.data.image_file import MOST_BYTES, MOST_PIXELS, eight_bits
from efficientdet.data.image_structure import EXIF_ORIENTATION
from efficientdet.errors import DataError
from efficientdet.frame import BrokenFrame, Frame
from efficientdet.video import SUFFIXES as VIDEO_SUFFIXES

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
ONE_VIDEO = "`efficientdet infer --input` takes one video at a time"


class ImageFiles:
    """The images that a path or pattern names, in sorted order.

    total: how many there are. paths: where they lie. names: what they are called, relative to the folder that all are
    in. A video among them is told of as an image that cannot be read.
    """

    live = False

    def __init__(self, place: str | Path, leave_out: Sequence[Path] = ()) -> None:
        """Finds the files.

        Args:
          place: an image file, whatever its suffix; a folder; or a pattern such as `photos/*.jpg`, in which `**` is
            any number of folders.
          leave_out: folders whose files are none of them, as those that pictures are written to.

        Raises DataError when there is no image at all.
        """
        root, self.paths = find_images(place, leave_out)
        self.names = [_readable(path.relative_to(root).as_posix()) for path in self.paths]
        self.total = len(self.paths)

    def __iter__(self) -> Iterator[Frame | BrokenFrame]:
        for path, name in zip(self.paths, self.names, strict=True):
            try:
                yield read_frame(path, name)
            except DataError as error:
                yield BrokenFrame(name, _readable(str(error)))


def _readable(name: str) -> str:
    r"""A text for UTF-8 files: bytes of a file's name that are none stand as `\xe9`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def find_images(place: str | Path, leave_out: Sequence[Path] = ()) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files; see `ImageFiles`.

    Raises DataError when there is none, or nothing but videos.
    """
    root, files = find_files(place, leave_out)
    if all(is_video(file) for file in files):
        raise DataError(f"{place}: leads to videos alone, as {files[0].name}, but images are wanted; {ONE_VIDEO}")
    return root, files


def find_files(place: str | Path, leave_out: Sequence[Path] = ()) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and a file, those that a pattern matches, or a folder's images and videos.

    Raises DataError when there is none.
    """
    path = Path(place)
    if not str(place).strip():
        raise DataError(f"{str(place)!r}: is no place of images; give an image, a folder (. for this) or a pattern")
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        known, ending = SUFFIXES | VIDEO_SUFFIXES, ", ".join(sorted(SUFFIXES))
        root, found = path, [file for file in path.rglob("*") if file.suffix.lower() in known]
        nothing = f"holds no image; looked for files ending in {ending}"
    elif is_pattern(place):
        first = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
        root = Path(*path.parts[:first])
        found = list(root.glob(str(Path(*path.parts[first:]))))
        nothing = f"matches no file below {root.absolute()}; correct the pattern, in which ** is any number of folders"
    else:
        raise DataError(f"{place}: there is no such file or folder; correct the path")
    kept_out = [folder.resolve() for folder in leave_out]
    files = [file for file in sorted(found) if file.is_file() and not _below(file, kept_out)]
    if not files:
        raise DataError(f"{place}: {nothing}")
    return root, files


def is_video(path: Path) -> bool:
    """Whether a file's name says that it is a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_image(path: Path) -> bool:
    """Whether a file's name or its first bytes say that it is an image, whole or not."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path):
                return True
    except UnidentifiedImageError:
        return False
    except Exception:  # of an image's parser, or because the file cannot be read at all, which is said later
        return True


def is_pattern(place: str | Path) -> bool:
    """Whether it is a pattern of several files, and no file of this very name is there."""
    return glob.has_magic(str(place)) and not Path(place).exists()


def _below(file: Path, folders: Sequence[Path]) -> bool:
    return bool(folders) and not set(file.resolve().parents).isdisjoint(folders)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """The picture as `[h, w, 3]` uint8 RGB; raises DataError when it cannot be decoded whole."""
    return read_frame(path, str(path)).image


def read_frame(path: str | Path, name: str) -> Frame:
    """The picture with its name; raises DataError when it cannot be decoded whole, or is larger than any photo."""
    if is_video(Path(path)):
        raise DataError(f"{path}: is a video, where images are read; {ONE_VIDEO}")
    try:
        size = Path(path).stat().st_size
        if size > MOST_BYTES:
            raise DataError(f"{path}: has {size} bytes, above {MOST_BYTES}; give a smaller image")
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path and who may read there") from error
    return decode_frame(encoded, name, str(path))


def decode_frame(encoded: bytes, name: str, shown: str) -> Frame:
    """The picture in the bytes of a file; raises DataError, naming it as `shown`, as `read_frame` does."""
    try:
        with warnings.catch_warnings():  # Pillow's own limit warns below ours
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(encoded)) as picture:
                width, height = picture.size
                if width * height > MOST_PIXELS:
                    raise DataError(f"{shown}: has {width}x{height} pixels, above {MOST_PIXELS}; give a smaller image")
                picture.load()  # Pillow turns a TIFF upright as it loads it; what is left then is of the pixels
                orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
                pixels = np.asarray(eight_bits(picture).convert("RGB"))
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{shown}: not a readable image (in no known format); replace or remove it") from error
    except Exception as error:  # Pillow's decoders raise whatever their format's parser meets
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{shown}: not a readable image ({reason}); replace or remove it") from error
    known = isinstance(orientation, int) and 1 <= orientation <= 8
    return Frame(name, pixels, orientation if known else 1)
