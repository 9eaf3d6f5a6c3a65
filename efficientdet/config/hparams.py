"""google/automl's names for our settings, so that its YAML files and override strings work unchanged.

The names and defaults are those of its `hparams_config.py` at commit 6a54c87 and of its programs' flags.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

NAMES = {
    "name": "model.name",
    "model_name": "model.name",
    "image_size": "model.image_size",
    "ckpt": "model.weights",
    "pretrained_ckpt": "model.weights",
    "backbone_ckpt": "model.backbone_weights",
    "backbone_name": "model.backbone",
    "act_type": "model.activation",
    "min_level": "model.min_level",
    "max_level": "model.max_level",
    "num_scales": "model.num_scales",
    "aspect_ratios": "model.aspect_ratios",
    "anchor_scale": "model.anchor_scale",
    "mean_rgb": "model.mean",
    "stddev_rgb": "model.stddev",
    "box_class_repeats": "model.head_repeats",
    "fpn_cell_repeats": "model.fpn_repeats",
    "fpn_num_filters": "model.fpn_filters",
    "fpn_weight_method": "model.fusion",
    "separable_conv": "model.separable_conv",
    "apply_bn_for_resampling": "model.resample_bn",
    "conv_after_downsample": "model.conv_after_downsample",
    "conv_bn_act_pattern": "model.conv_bn_act",
    "heads": "model.heads",
    "seg_num_classes": "model.segmentation_classes",
    "num_classes": "data.num_classes",
    "label_map": "data.label_map",
    "max_instances_per_image": "data.max_boxes",
    "input_rand_hflip": "data.flip",
    "jitter_min": "data.jitter_min",
    "jitter_max": "data.jitter_max",
    "target_size": "data.jitter_size",
    "autoaugment_policy": "data.autoaugment",
    "grid_mask": "data.grid_mask",
    "skip_crowd_during_training": "data.skip_crowd",
    "num_epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "train_batch_size": "training.batch_size",
    "momentum": "training.momentum",
    "learning_rate": "training.learning_rate",
    "lr_decay_method": "training.schedule",
    "lr_warmup_init": "training.warmup_init",
    "lr_warmup_epoch": "training.warmup_epochs",
    "poly_lr_power": "training.power",
    "weight_decay": "training.weight_decay",
    "clip_gradients_norm": "training.clip_norm",
    "moving_average_decay": "training.moving_average",
    "alpha": "training.focal_alpha",
    "gamma": "training.focal_gamma",
    "label_smoothing": "training.label_smoothing",
    "delta": "training.huber_delta",
    "box_loss_weight": "training.box_loss_weight",
    "iou_loss_type": "training.iou_loss",
    "iou_loss_weight": "training.iou_loss_weight",
    "var_freeze_expr": "training.freeze",
    "grad_checkpoint": "training.grad_checkpoint",
    "map_freq": "training.eval_epochs",
    "tf_random_seed": "training.seed",
    "tpu": "training.tpu",
    "gcp_project": "training.gcp_project",
    "tpu_zone": "training.tpu_zone",
    "use_xla": "training.xla",
    "loss_scale": "training.loss_scale",
    "steps_per_execution": "training.steps_per_execution",
    "tflite_max_detections": "nms.max_detections",
}
NMS_NAMES = {
    "method": "nms.method",
    "iou_thresh": "nms.iou_threshold",
    "score_thresh": "nms.score_threshold",
    "sigma": "nms.sigma",
    "max_nms_inputs": "nms.max_candidates",
    "max_output_size": "nms.max_detections",
}
# Options with one value here, and what to do instead of another (docs/decisions/0009).
FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "data_format": (("channels_last",), "images are channels-last throughout; leave it out"),
    "scale_range": (
        (False,),
        "it stretches the normalised input once more; see docs/decisions/0009 for the mean_rgb and "
        "stddev_rgb that do the same",
    ),
    "backbone_config": ((None,), "name a published backbone in backbone_name"),
    "dataset_type": ((None, "tfrecord"), "examples are TFRecords; leave it out"),
    "nms_configs.pyfunc": ((False,), "suppression is part of the network; leave it out"),
}
# Options that change neither the network nor its training here, and why.
WITHOUT_EFFECT = {
    "is_training_bn": "batch normalisation follows the call",
    "drop_remainder": "training batches are whole, evaluation sees every image",
    "regenerate_source_id": "image ids are kept as the data set gives them",
    "skip_mismatch": "only prediction layers of another size are skipped",
    "ckpt_var_scope": "checkpoints are read by name",
    "use_keras_model": "there is one implementation",
    "sample_image": "pictures come from the evaluation split",
    "img_summary_steps": "pictures come with every checkpoint",
    "save_freq": "set training.checkpoint_steps",
    "verbose": "progress is always shown",
    # Flags of its training program, which it saves with the settings.
    **dict.fromkeys(
        ("debug", "eval_samples", "mode", "model_dir", "num_shards", "profile", "steps_per_epoch", "val_json_file"),
        "it belongs to a run, not to the detector",
    ),
}


def translate(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with every name of google/automl at their top level replaced by ours.

    A name given so wins over the same setting under our name. Raises ValueError for a value that has no
    meaning here, with the remedy.
    """
    ours = {key: value for key, value in values.items() if key not in _THEIRS}
    # The strategy first: on it hangs what mixed precision means.
    for key, value in sorted(values.items(), key=lambda item: item[0] != "strategy"):
        if key in _THEIRS and key != "nms_configs":
            _put(ours, key, NAMES.get(key), value)
    # Last, because the number of detections has a second name, for TFLite only, with a default in every saved config.
    suppression = values.get("nms_configs") or {}
    if not isinstance(suppression, Mapping):
        raise ValueError(f"nms_configs={suppression!r}: must be a mapping of {', '.join(NMS_NAMES)}")
    for part, value in suppression.items():
        _put(ours, f"nms_configs.{part}", NMS_NAMES.get(part), value)
    return ours


def _put(ours: dict[str, Any], key: str, path: str | None, value: Any) -> None:
    if key in FIXED:
        allowed, remedy = FIXED[key]
        if value is not None and value not in allowed:
            raise ValueError(f"{key}={value!r} is not supported: {remedy}")
    elif key in WITHOUT_EFFECT:
        logger.info("%s has no effect here: %s", key, WITHOUT_EFFECT[key])
    elif key in _CONVERSIONS:
        for our_path, converted in _CONVERSIONS[key](value, ours).items():
            _set(ours, our_path, converted)
    elif path is None:
        raise ValueError(f"{key}: there is no such setting; nms_configs has {', '.join(NMS_NAMES)}, pyfunc")
    elif value is not None or path in _MEANING_OF_NULL:
        _set(ours, path, _MEANING_OF_NULL.get(path) if value is None else value)


# google/automl's null is otherwise its default, for which our fields have one of their own.
_MEANING_OF_NULL = {
    "nms.score_threshold": 0.0,
    "training.freeze": None,
    "training.iou_loss": None,
    "data.autoaugment": None,
    "data.jitter_size": None,
    "data.label_map": None,
    "data.num_classes": None,
    "model.weights": None,
    "model.backbone_weights": None,
    "model.fusion": "fastattn",
}


def _set(ours: dict[str, Any], path: str, value: Any) -> None:
    group, _, field = path.partition(".")
    if isinstance(before := ours.get(group) or {}, Mapping):  # else the group's own check says what is wrong
        ours[group] = {**before, field: value}


def _fpn_name(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"model.fpn": "bifpn" if value == "bifpn_dyn" else value}


def _fpn_config(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    """`{"nodes": [{"feat_level": 6, "inputs_offsets": [3, 4]}, ...], "weight_method": ...}`."""
    if not value:
        return {"model.fpn_nodes": None}
    try:
        nodes = [{"level": node["feat_level"], "inputs": node["inputs_offsets"]} for node in value["nodes"]]
        fusion = value.get("weight_method")
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"fpn_config={value!r}: must be {{nodes: [{{feat_level: 6, inputs_offsets: [3, 4]}}, ...]}}"
        ) from error
    return {"model.fpn_nodes": nodes} | ({"model.fusion": fusion} if fusion else {})


def _positives_momentum(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    # Below zero they count positives over all replicas, which we always do.
    absent = value is None or (isinstance(value, (int, float)) and value <= 0)
    return {"training.positives_momentum": None if absent else value}


def _drop(index: int) -> Callable[[Any, Mapping[str, Any]], dict[str, Any]]:
    def drop(value: Any, ours: Mapping[str, Any]) -> dict[str, Any]:
        training = ours.get("training") or {}
        epochs = training.get("drop_epochs") if isinstance(training, Mapping) else None
        epochs = [*epochs] if isinstance(epochs, (list, tuple)) and len(epochs) == 2 else [200.0, 250.0]
        if value is not None:
            epochs[index] = value
        return {"training.drop_epochs": epochs}

    return drop


def _optimizer(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"training.optimizer": value.lower() if isinstance(value, str) else value}


def _survival(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    """Theirs is off at 0."""
    return {"model.head_survival": value or None}


def _strategy(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"training.strategy": {"multi-gpus": "gpus", "": None}.get(value, value)}


def _mixed_precision(value: Any, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Theirs is bfloat16 on a TPU and float16 elsewhere."""
    training = ours.get("training") or {}
    on_tpu = isinstance(training, Mapping) and training.get("strategy") == "tpu"
    return {"training.precision": ("bfloat16" if on_tpu else "float16") if value else "float32"}


_CONVERSIONS: dict[str, Callable[[Any, Mapping[str, Any]], dict[str, Any]]] = {
    "fpn_name": _fpn_name,
    "fpn_config": _fpn_config,
    "positives_momentum": _positives_momentum,
    "optimizer": _optimizer,
    "survival_prob": _survival,
    "strategy": _strategy,
    "mixed_precision": _mixed_precision,
    "first_lr_drop_epoch": _drop(0),
    "second_lr_drop_epoch": _drop(1),
}
_THEIRS = {*NAMES, *FIXED, *WITHOUT_EFFECT, *_CONVERSIONS, "nms_configs"}
