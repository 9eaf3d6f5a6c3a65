"""Names that people can read for the operators of a network: `blocks_0/depthwise`, `class_net/class-1/conv@p3`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from efficientdet.errors import ConfigError
from efficientdet.raw_names import BOX_DELTAS, CLASS_LOGITS
from efficientdet.tflite_flatbuffer import tensors_by_name
from efficientdet.tflite_operators import kind

BACKBONE = ("stem", "blocks_")
HEADS = ("class_net", "box_net")
_KINDS = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "RESIZE_NEAREST_NEIGHBOR": "resize"}
_FUSED = re.compile(
    "conv2d|depthwise|separable|conv$|bn|tpu|batch|activation|relu|swish|sigmoid|squeeze|bias|add|mul|resize|max_?pool",
    re.IGNORECASE,
)
"""Parts of a tensor's name that belong to the operator, not to the layer it is in."""


def layer_names(model: schema.ModelT) -> list[str]:
    """A name for every operator of the network's graph, in their order; no two are the same.

    Path in the network, kind of the operator, and in the heads the level; a number tells apart what is left.
    """
    [graph], [signature] = model.subgraphs, model.signatureDefs
    outputs = {index: name for name, index in tensors_by_name(signature.outputs).items()}
    height = int(graph.tensors[int(graph.inputs[0])].shape[1])
    names: list[str] = []
    levels: dict[str, int] = {}
    for op in graph.operators:
        tensor = graph.tensors[int(op.outputs[0])]
        output = outputs.get(int(op.outputs[0]), "")
        path = _head(output) or _path(tensor.name.decode())
        what = kind(model, op)
        name = "/".join(filter(None, (path, _KINDS.get(what, what.lower()))))
        if path.startswith(HEADS) and len(tensor.shape) == 4:
            # From the first on they come in turn; sizes do not tell the last ones apart, which may be one cell.
            finest = round(float(np.log2(height / tensor.shape[1])))
            levels[name] = levels[name] + 1 if name in levels else finest
            name += f"@p{levels[name]}"
        names.append(name)
    return _numbered(names)


def matching(patterns: Iterable[str], names: Sequence[str]) -> list[int]:
    """The places of the names that match a pattern, in which * stands for anything.

    Raises ConfigError for a pattern that none matches.
    """
    found: set[int] = set()
    for pattern in patterns:
        places = [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
        if not places:
            raise ConfigError(
                f"export.float_layers={pattern}: no layer is called so; `efficientdet quantize-report` lists them, as "
                f"{names[0]} or {names[-1]}"
            )
        found |= set(places)
    return sorted(found)


def _path(tensor: str) -> str:
    """Where in the network a tensor is made, from its name: those of all that was fused into one, the last first."""
    parts = tensor.split(";")[0].split("/")
    # The converter's copy of a Keras layer bears its name and a number.
    names = [re.sub(r"_\d+$", "", part) for part in parts[:-1]]
    inside = [name for name in names if not name.startswith("efficientnet") and not name.startswith("efficientdet")]
    kept = []
    for name in inside:
        if _FUSED.match(name):
            break
        kept.append(name)
    if kept and kept[-1] in HEADS:
        return "/".join([*kept, *_head_layer(tensor)])
    return "/".join(kept)


def _head_layer(tensor: str) -> list[str]:
    """The layer of a head, which stands in a later one of the fused names."""
    found = re.search(r"(?:class|box)_net[^/]*/((?:class|box)-(?:\d+|predict))", tensor)
    return [found[1]] if found else []


def _head(output: str) -> str:
    """The last layer of a head, by its answer's name; nothing for other names."""
    if output.startswith(CLASS_LOGITS):
        return "class_net/class-predict"
    return "box_net/box-predict" if output.startswith(BOX_DELTAS) else ""


def _numbered(names: list[str]) -> list[str]:
    total, seen = Counter(names), Counter[str]()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name}#{seen[name]}" if total[name] > 1 else name)
    return numbered
