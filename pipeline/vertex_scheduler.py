"""Schedules on Vertex AI Pipelines, through Google's own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.cloud import aiplatform
from google.cloud.aiplatform_v1.types import Schedule
from google.protobuf.field_mask_pb2 import FieldMask

from efficientdet.errors import EfficientDetError
from pipeline.cluster import ClusterConfig
from pipeline.schedule import ScheduleConfig, Scheduled, timestamp
from pipeline.vertex_client import LABEL, VertexClient

STATES = {"ACTIVE": "ACTIVE", "PAUSED": "PAUSED", "COMPLETED": "ENDED"}


class VertexScheduler:
    """A Scheduler; each schedule bears its pipeline's name, by which it is found again.

    Should several go on, the newest is the schedule: `pause` pauses all, `put` and `resume` delete the others.
    """

    def __init__(self, cluster: ClusterConfig) -> None:
        self._cluster, self._runs = cluster, VertexClient(cluster)

    def put(self, spec: Path, name: str, schedule: ScheduleConfig) -> Scheduled:
        """As Scheduler.put."""
        timing = {
            "cron": f"TZ={schedule.time_zone} {schedule.cron}",
            "start_time": timestamp(schedule.start),
            "end_time": timestamp(schedule.end),
            "max_concurrent_run_count": 1,
        }
        with self._runs.spoken():
            job = self._runs.job(spec, spec.stem, {}, cache=None)
            if there := self._going(name):
                changed = self._change(there[0], job, {LABEL: spec.stem}, timing)
                _delete(there[1:])
                return changed
            made = aiplatform.PipelineJobSchedule(pipeline_job=job, display_name=name)
            made.create(**timing, service_account=self._cluster.service_account)
            return as_scheduled(made.gca_resource)

    def find(self, name: str) -> Scheduled | None:
        """As Scheduler.find."""
        with self._runs.spoken():
            return next((as_scheduled(each.gca_resource) for each in self._named(name)), None)

    def all(self) -> list[Scheduled]:
        """As Scheduler.all."""
        with self._runs.spoken():
            found = aiplatform.PipelineJobSchedule.list(order_by="create_time desc", **self._runs.place)
            return [as_scheduled(each.gca_resource) for each in found]

    def pause(self, name: str) -> None:
        """As Scheduler.pause."""
        with self._runs.spoken():
            for each in self._going(name) or self._there(name)[:1]:
                if _state(each) != "PAUSED":
                    each.pause()

    def resume(self, name: str) -> None:
        """As Scheduler.resume."""
        with self._runs.spoken():
            newest, *others = self._going(name) or self._there(name)[:1]
            if _state(newest) == "ACTIVE":
                newest.pause()  # only from a pause there is a new beginning, before which failures do not count
            newest.resume(catch_up=False)
            _delete(others)

    def delete(self, name: str) -> None:
        """As Scheduler.delete."""
        with self._runs.spoken():
            _delete(self._there(name))

    def _change(
        self,
        old: aiplatform.PipelineJobSchedule,
        job: aiplatform.PipelineJob,
        labels: dict[str, str],
        timing: dict[str, Any],
    ) -> Scheduled:
        """The old schedule, its timing and its job replaced."""
        wanted = {
            "runtime_config": job.runtime_config,
            "pipeline_spec": job.pipeline_spec,
            "labels": labels,
            "service_account": self._cluster.service_account,
        }
        # A start that is not asked for stays what it was: there is no schedule without one.
        given = {field: value for field, value in timing.items() if value is not None or field == "end_time"}
        resource = Schedule(
            name=old.gca_resource.name,
            create_pipeline_job_request={
                "parent": old.gca_resource.name.partition("/schedules/")[0],
                "pipeline_job": wanted,
            },
            **given,
        )
        mask = FieldMask(paths=[*given, "create_pipeline_job_request"])
        return as_scheduled(old.api_client.update_schedule(schedule=resource, update_mask=mask))

    def _named(self, name: str) -> list[Any]:
        """Those that go on before those that have ended, which stay there; of both the newest first."""
        asked = {"filter": f'display_name="{name}"', "order_by": "create_time desc"}
        found = aiplatform.PipelineJobSchedule.list(**asked, **self._runs.place)
        newest = sorted(
            (each for each in found if each.display_name == name), key=lambda each: each.create_time, reverse=True
        )
        return sorted(newest, key=lambda each: _state(each) == "ENDED")

    def _going(self, name: str) -> list[Any]:
        """Those that have not ended, the newest first."""
        return [each for each in self._named(name) if _state(each) != "ENDED"]

    def _there(self, name: str) -> list[Any]:
        if found := self._named(name):
            return found
        raise EfficientDetError(f"{name}: has no schedule in {self._runs.place['project']}; set one first")


def _delete(schedules: list[aiplatform.PipelineJobSchedule]) -> None:
    for each in schedules:
        each.delete()


def _state(schedule: aiplatform.PipelineJobSchedule) -> str:
    return as_scheduled(schedule.gca_resource).state


def as_scheduled(schedule: Schedule) -> Scheduled:
    """Of the client's Schedule."""
    state = STATES.get(schedule.state.name, "ACTIVE")
    following = timestamp(schedule.next_run_time) or ""
    since = timestamp(schedule.last_resume_time or schedule.create_time) or ""
    return Scheduled(schedule.name.rpartition("/")[2], schedule.display_name, state, schedule.cron, following, since)
