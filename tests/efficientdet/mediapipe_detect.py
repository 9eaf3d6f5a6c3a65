"""MediaPipe's ObjectDetector on some pictures, in an environment without this product: MODEL PICTURES.npz THRESHOLD."""

from __future__ import annotations

import json
import sys

import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision

model, pictures, threshold = sys.argv[1:]
options = vision.ObjectDetectorOptions(
    base_options=tasks.BaseOptions(model_asset_path=model), score_threshold=float(threshold), max_results=-1
)
answers = []
with vision.ObjectDetector.create_from_options(options) as detector:
    for picture in np.load(pictures).values():
        found = detector.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=picture)).detections
        answers.append(
            [
                {
                    "name": category.category_name,
                    "score": category.score,
                    "box": [b.origin_y, b.origin_x, b.origin_y + b.height, b.origin_x + b.width],
                }
                for b, categories in ((one.bounding_box, one.categories) for one in found)
                for category in categories  # detections of one box are joined
            ]
        )
json.dump(answers, sys.stdout)
