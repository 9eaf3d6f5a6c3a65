"""Memory of `efficientdet infer` over a long video: `python benchmarks/video_memory.py --frames 10000`.

The network is the smallest that detects at all, so that what is seen is the way of the frames: decoding, detection,
drawing, encoding and the lines of JSON. Prints the resident memory after a tenth of the frames and after all, and
their ratio.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from efficientdet.detection_file import JsonLinesFile
from efficientdet.detector_file import open_detector
from efficientdet.drawing import DrawingStyle, DrawnVideo
from efficientdet.frame import Frame
from efficientdet.infer import detect_frames
from efficientdet.video import Video
from efficientdet.video_file import VideoFile

SIZE = (96, 128)


def resident() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def growth(model: Path, folder: Path, frames: int) -> tuple[float, float]:
    """Megabytes after a tenth of the frames and at the end."""
    clip = folder / "clip.mp4"
    video = Video(clip, clip.name)
    detector, early = open_detector(model), 0.0
    drawn = DrawnVideo(folder / "drawn.mp4", video.rate, detector.label_map, DrawingStyle())
    with JsonLinesFile(folder / "out.jsonl", detector.label_map) as lines, drawn:
        for number, answer in enumerate(detect_frames(detector, video, 0.3, detector.batch), start=1):
            assert isinstance(answer, tuple)
            assert isinstance(answer[0], Frame)
            lines.write(*answer)
            drawn.write(*answer)
            if number == frames // 10:
                early = resident()
    return early, resident()


def write_clip(path: Path, frames: int) -> None:
    """A square that moves."""
    with VideoFile(path, Fraction(25)) as video:
        for number, image in enumerate(_pictures(frames)):
            video.write(image, number / 25)


def _pictures(frames: int) -> Iterator[np.ndarray]:
    for number in range(frames):
        image = np.zeros((*SIZE, 3), np.uint8)
        image[20:60, number % 80 : number % 80 + 40] = 255
        yield image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--model", type=Path, required=True, help="A TFLite file of this product.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_clip(Path(folder) / "clip.mp4", args.frames)
        early, late = growth(args.model, Path(folder), args.frames)
    print(
        f"{early:.1f} MB after {args.frames // 10} frames, {late:.1f} MB after {args.frames}: {late / early:.3f} times"
    )


if __name__ == "__main__":
    main()
