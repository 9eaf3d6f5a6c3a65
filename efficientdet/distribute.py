"""Where training runs: one device, the GPUs of a machine, several workers, or a TPU."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientdet.config import TrainingConfig
from efficientdet.data.input_pipeline import Share
from efficientdet.errors import ConfigError


def open_strategy(training: TrainingConfig) -> tf.distribute.Strategy:
    """The strategy a config asks for; the first thing a process of `workers` or `tpu` has to call.

    Raises:
      ConfigError: there is no such device, TF_CONFIG is missing or wrong, or the batch cannot be divided.
    """
    openers: dict[str | None, Callable[[TrainingConfig], tf.distribute.Strategy]] = {
        None: lambda _: tf.distribute.get_strategy(),
        "gpus": _gpus,
        "workers": _workers,
        "tpu": _tpu,
    }
    strategy = openers[training.strategy](training)
    replicas = strategy.num_replicas_in_sync
    if training.batch_size % replicas:
        raise ConfigError(
            f"training.batch_size={training.batch_size}: cannot be divided among {replicas} devices; "
            f"set it to a multiple of {replicas}"
        )
    parts = 1 if training.accumulate == "auto" else training.accumulate
    if training.batch_size // replicas % parts:
        raise ConfigError(
            f"training.accumulate={parts}: cannot divide the {training.batch_size // replicas} images of a device; "
            "set it to a divisor of them"
        )
    return strategy


def _gpus(_: TrainingConfig) -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU")
    # Logical CPUs, where a test or a trial has made several of the one.
    devices = devices or (tf.config.list_logical_devices("CPU")[1:] and tf.config.list_logical_devices("CPU"))
    if not devices:
        raise ConfigError(
            "training.strategy=gpus: TensorFlow sees no GPU; check with nvidia-smi, or leave the strategy out"
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _workers(_: TrainingConfig) -> tf.distribute.Strategy:
    _check_cluster(os.environ.get("TF_CONFIG", ""))
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    implementation = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementation.NCCL if has_gpu else implementation.RING
    )
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def _check_cluster(text: str) -> None:
    example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    try:
        settings = json.loads(text)
        hosts = settings["cluster"].get("chief", []) + settings["cluster"]["worker"]
        kind, index = settings["task"]["type"], int(settings["task"]["index"])
        known = 0 <= index < len(settings["cluster"][kind])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"cannot be read ({error!r})" if text else "is not set"
        raise ConfigError(
            f"training.strategy=workers: TF_CONFIG {what}; set it on each worker, as {example}"
        ) from error
    if kind not in ("chief", "worker") or not known:
        raise ConfigError(f"TF_CONFIG: task {kind} {index} is not one of {', '.join(hosts)}; correct task.index")


def _tpu(training: TrainingConfig) -> tf.distribute.Strategy:
    where = training.tpu or "of this machine"
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=training.tpu or "local", zone=training.tpu_zone, project=training.gcp_project
        )
        if training.tpu:
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # the resolver fails with whatever its Google client fails with
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"training.strategy=tpu: the TPU {where} cannot be used ({reason[:200]}); check training.tpu, "
            "training.tpu_zone and training.gcp_project, or leave the strategy out"
        ) from error


def is_first_worker(training: TrainingConfig) -> bool:
    """`is_chief` before the strategy is open: by TF_CONFIG alone."""
    if training.strategy != "workers":
        return True
    _check_cluster(os.environ.get("TF_CONFIG", ""))
    settings = json.loads(os.environ["TF_CONFIG"])
    task = settings["task"]
    return task["type"] == "chief" or ("chief" not in settings["cluster"] and int(task["index"]) == 0)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes checkpoints, logs and the result."""
    resolver = strategy.cluster_resolver
    if resolver is None or not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    cluster = resolver.cluster_spec().as_dict()
    return resolver.task_type == "chief" or ("chief" not in cluster and resolver.task_id == 0)


def distributed_batches(strategy: tf.distribute.Strategy, batches: Callable[[Share], tf.data.Dataset]) -> Any:
    """The global batches of `batches`, each process reading its share only: a dataset for `strategy.run`."""

    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        replicas = context.num_replicas_in_sync // workers
        return batches(Share(context.input_pipeline_id, workers, replicas))

    return strategy.distribute_datasets_from_function(pipeline)


def of_all_workers(strategy: tf.distribute.Strategy, value: float) -> list[float]:
    """The values of all workers in the order of their numbers, on each of them; all have to call it."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return [float(value)]
    resolver = strategy.cluster_resolver
    cluster = resolver.cluster_spec().as_dict()
    workers = [(kind, i) for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))]
    mine = workers.index((resolver.task_type, resolver.task_id))
    ours = tf.one_hot(mine, len(workers)) * float(value) / len(strategy.extended.worker_devices)
    return [float(each) for each in _total_over(strategy)(ours)]


@functools.cache
def _total_over(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of each replica's vector that gives their sum to all of them."""

    def summed(values: tf.Tensor) -> tf.Tensor:
        # On the replica's own device, which the collective asks for.
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def total(values: tf.Tensor) -> tf.Tensor:
        return strategy.experimental_local_results(strategy.run(summed, args=(values,)))[0]

    return total
