"""Tiny videos for tests."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest


def make_video(path: Path, frames: int, height: int = 48, width: int = 64, rate: int = 10) -> Path:
    """A white square that moves over black, a pixel per frame; every tenth frame is a key frame."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"g": "10", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            image = np.zeros((height, width, 3), np.uint8)
            image[8:24, number % (width - 16) : number % (width - 16) + 16] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def damage_frames(path: Path, broken: Path, *places: int) -> list[float]:
    """A copy in which packets, by their place in the file, hold noise; the times they are shown at."""
    av = pytest.importorskip("av")
    data, seconds, noise = bytearray(path.read_bytes()), [], random.Random(0)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for place in places:
            packet = packets[place]
            assert packet.pos is not None
            data[packet.pos : packet.pos + packet.size] = noise.randbytes(packet.size)
            seconds.append(float(packet.pts * packet.time_base))
    broken.write_bytes(data)
    return seconds
