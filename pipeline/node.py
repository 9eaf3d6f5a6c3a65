"""`python -m pipeline.node`: what a cluster's container runs, TFX's entrypoint with the ground prepared for it.

Artifacts have addresses of a bucket there, but our steps read and write files: Vertex AI and Kubeflow's launcher show
a bucket as a folder. And what Kubernetes gives as an environment, Vertex AI keeps in Secret Manager.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.secret_manager import read_secrets
from efficientdet.errors import EfficientDetError
from efficientdet.lean_imports import lean_imports

# Where Vertex AI (gs) and the launcher of Kubeflow Pipelines (all) show buckets.
MOUNTS = {"gs://": "/gcs/", "s3://": "/s3/", "minio://": "/minio/"}
INVOCATION = "--json_serialized_invocation_args"
SECRET = "--secret="
MODULE = "pipeline.node"

Names = Mapping[str, str]


def main(words: Sequence[str]) -> None:
    """Runs one node as TFX's own `kubeflow_v2_run_executor` would, with `--secret=VARIABLE=NAME` in front."""
    secrets = dict(word.removeprefix(SECRET).split("=", 1) for word in words if word.startswith(SECRET))
    try:
        os.environ.update(read_secrets(secrets))
    except EfficientDetError as error:
        sys.exit(f"error: {error}")
    own = [word for word in words if not word.startswith(SECRET)]
    place = own.index(INVOCATION) + 1
    executor_input = own[place]
    mounts = {address: folder for address, folder in MOUNTS.items() if _shown(executor_input, address, folder)}
    own[place] = to_folders(executor_input, mounts)
    with lean_imports():
        from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as tfx

    tfx.main(tfx._parse_flags([MODULE, *own]))
    output = Path(json.loads(own[place])["outputs"]["outputFile"])
    if mounts and output.exists():
        output.write_text(to_addresses(output.read_text(encoding="utf-8"), mounts), encoding="utf-8")


def to_folders(text: str, mounts: Names) -> str:
    """The text with every bucket's address as the folder it is shown in: gs://bucket/a is /gcs/bucket/a."""
    for address, folder in mounts.items():
        text = text.replace(address, folder)
    return text


def to_addresses(text: str, mounts: Names) -> str:
    """The reverse, for the folders that begin a JSON string."""
    for address, folder in mounts.items():
        text = text.replace(f'"{folder}', f'"{address}')
    return text


def _shown(text: str, address: str, folder: str) -> bool:
    """Whether a bucket that the text names is there as a folder."""
    buckets = re.findall(rf"{address}([^/\"\\]+)", text)
    return any(Path(folder, bucket).is_dir() for bucket in buckets)


if __name__ == "__main__":
    main(sys.argv[1:])
