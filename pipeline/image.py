"""The container image of a config: which variant it needs, and the commands that build and push it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from efficientdet import __version__
from efficientdet.commit import code_commit
from efficientdet.errors import ConfigError
from pipeline.cluster import ClusterConfig
from pipeline.config import PipelineConfig

Tool = Literal["docker", "podman"]
# TFX's dependencies are built for no other.
PLATFORM = "linux/amd64"
# What the Dockerfile installs unless it is told otherwise.
EXTRAS = ("pipeline", "imagenet", "vertex", "video")
NEEDED = ("Dockerfile", "constraints.txt", "setup.py")


def commands(config: PipelineConfig, tree: Path, tool: Tool = "docker", base: str | None = None) -> list[list[str]]:
    """The words of each command: build, and push where `cluster.image` is one that a registry can have.

    Args:
      config: names the image; what its nodes ask for decides the variant.
      tree: source tree, as `source_tree` returns it.
      tool: program that builds; both take the same words.
      base: image to build upon; None: the Dockerfile's own.

    Raises ConfigError for an image that cannot be built under its name.
    """
    image = config.cluster.image
    if "@" in image:
        raise ConfigError(f"cluster.image={image}: a digest names what is built already; name the image with a tag")
    arguments = {"BASE": base, "VARIANT": variant(config.cluster), "EXTRAS": _extras(config)}
    arguments["COMMIT"] = code_commit(tree / "efficientdet") or None
    words = [word for name, value in arguments.items() if value for word in ("--build-arg", f"{name}={value}")]
    build = [tool, "build", "--platform", PLATFORM, "--tag", image, *words, str(tree)]
    return [build, [tool, "push", image]] if in_registry(image) else [build]


def variant(cluster: ClusterConfig) -> Literal["cpu", "gpu"]:
    """The one image of all nodes has CUDA where any of them asks for a GPU."""
    return "gpu" if any(asked.gpus for asked in cluster.resources.values()) else "cpu"


def in_registry(image: str) -> bool:
    """Whether the name says where others can pull it from."""
    host, slash, _ = image.partition("/")
    return bool(slash) and host != "localhost"


def notes(cluster: ClusterConfig) -> Iterator[str]:
    """What the commands do not do for this config."""
    if not in_registry(cluster.image):
        yield f"cluster.image={cluster.image}: names no registry, but a cluster pulls from one; name it in front"
    for node, asked in cluster.resources.items():
        if asked.tpu:
            yield f"cluster.resources.{node}.tpu: the image drives no TPU; docs/clusters.md says what to add to it"


def source_tree(named: str | Path | None = None) -> Path:
    """The folder to build from: the named one, or else this installation's where it is a source tree.

    Raises ConfigError for a folder without a Dockerfile, as an installed package is, or of another version: its image
    would not run what this version compiles.
    """
    tree = Path(named) if named else Path(__file__).parents[1]
    for name in NEEDED:
        if not (tree / name).is_file():
            raise ConfigError(
                f"{tree}: has no {name}; the image is built from the source tree of efficientdet-pipeline"
                f" {__version__}, name yours with --context"
            )
    version = _version(tree)
    if version != __version__:
        raise ConfigError(
            f"{tree}: is the source of version {version}, but the pipeline is compiled by {__version__}; check out"
            " that one"
        )
    return tree


def _extras(config: PipelineConfig) -> str | None:
    return ",".join([*EXTRAS, "onnx"]) if "onnx" in config.detector.export.formats else None


def _version(tree: Path) -> str:
    package = tree / "efficientdet/__init__.py"
    found = re.search(r'__version__ = "(.+)"', package.read_text(encoding="utf-8")) if package.is_file() else None
    return found[1] if found else "unknown"
