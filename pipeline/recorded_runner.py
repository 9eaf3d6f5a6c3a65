"""TFX's LocalDagRunner, whose runs say in the metadata whose they are and how they ended.

A database that a team shares holds the runs of several pipelines, roots and machines. What one root may clear away is
told by the property `root` of the run's context.
"""

from __future__ import annotations

import os
import socket

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import Metadata as TfxMetadata
from tfx.orchestration.portable.mlmd.context_lib import prepare_contexts
from tfx.orchestration.portable.runtime_parameter_utils import substitute_runtime_parameter
from tfx.proto.orchestration.pipeline_pb2 import Pipeline, RunOptions

from efficientdet.errors import EfficientDetError, reason
from pipeline.run_history import ENDED, ERROR, HOST, PROCESS, ROOT, RUN_CONTEXT


class RecordedRunner(LocalDagRunner):
    """Runs a pipeline as `run`, the name of a run that is new, of the root with this id."""

    def __init__(self, run: str, root: str, connection: mlmd.ConnectionConfig) -> None:
        super().__init__()
        self._run, self._connection = run, connection
        self._properties = {ROOT: root, HOST: socket.gethostname(), PROCESS: str(os.getpid())}

    def run_with_ir(self, pipeline: Pipeline, run_options: RunOptions | None = None) -> None:
        """Records the run before its first node."""
        substitute_runtime_parameter(pipeline, {PIPELINE_RUN_ID_PARAMETER_NAME: self._run})
        contexts = pipeline.nodes[0].pipeline_node.contexts
        [own] = [context for context in contexts.contexts if context.type.name == RUN_CONTEXT]
        for key, value in self._properties.items():
            own.properties[key].field_value.string_value = value
        with TfxMetadata(self._connection) as handle:
            prepare_contexts(handle, contexts)
        super().run_with_ir(pipeline, run_options)


def record_end(store: MetadataStore, run: str, error: BaseException | None) -> None:
    """Writes into the metadata how a run ended, if it had begun."""
    context = store.get_context_by_type_and_name(RUN_CONTEXT, run)
    if context is None:
        return
    context.custom_properties[ENDED].string_value = "FAILED" if error else "SUCCEEDED"
    if error:
        own = isinstance(error, EfficientDetError)
        said = str(error) if own or not isinstance(error, Exception) else reason(error)
        context.custom_properties[ERROR].string_value = (said or type(error).__name__)[:1000]
    store.put_contexts([context])
