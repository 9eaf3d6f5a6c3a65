"""A training run in a process of its own, for tests that kill it, divide it, or run several of it.

python training_process.py SHARDS FOLDER DEVICES OVERRIDES; the last line of the output is the weights' SHA-256.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import tensorflow as tf

from efficientdet import training_log
from efficientdet.config import Config
from efficientdet.errors import EfficientDetError
from efficientdet.label_map import LabelMap
from efficientdet.train import train


def main(shards: str, folder: str, devices: str, overrides: str) -> None:
    training_log.LOG_STEPS = 1
    if int(devices) > 1:
        logical = [tf.config.LogicalDeviceConfiguration()] * int(devices)
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
    patterns = [f"{shards}/Split-{split}/*" for split in ("train", "eval")]
    config = Config().override(overrides)
    try:
        model = train(config, LabelMap.load(shards), *patterns, Path(folder) / "checkpoints", Path(folder) / "logs")
    except EfficientDetError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.weights)).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
