"""What decides whether example generation runs again."""

from __future__ import annotations

from typing import Any

from tfx.components.example_gen.driver import FileBasedDriver
from tfx.components.example_gen.utils import FINGERPRINT_PROPERTY_NAME
from tfx.orchestration import data_types

from components.example_gen.executor import settings_of


class ContentDriver(FileBasedDriver):
    """TFX's driver, which finds the span; but the content of the data counts, not the times and sizes of files.

    The component's settings hold the hash of that content. Where they hold none, as for data on another machine, TFX's
    own fingerprint stays.
    """

    def resolve_exec_properties(
        self,
        exec_properties: dict[str, Any],
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, Any]:
        """The properties with the span, the version, and the fingerprint of the content."""
        resolved = super().resolve_exec_properties(exec_properties, pipeline_info, component_info)
        content = settings_of(resolved)["fingerprint"]
        return resolved | ({FINGERPRINT_PROPERTY_NAME: content} if content else {})
