"""Schedules on Kubeflow Pipelines: its recurring runs, through its own client."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cluster import ClusterConfig
from pipeline.compiled_spec import Json
from pipeline.kubeflow_client import PAGE, KubeflowClient, identity
from pipeline.schedule import ScheduleConfig, Scheduled, timestamp

STATES = {"ENABLED": "ACTIVE", "DISABLED": "PAUSED"}
# The number is a text in its API, whatever the client says.
ONE_BY_ONE = {"max_concurrency": "1", "no_catchup": True}
# What a recurring run says of itself that took the place of another, whose failures it keeps.
SINCE = "failures count since "


class KubeflowScheduler:
    """A Scheduler.

    Kubeflow cannot change a recurring run: `put` makes another and then deletes those it replaces, so that a kill in
    between leaves one too many, which the next `put` removes, and never none. Cron expressions are in the time zone
    that the cluster was set up with (`cluster.time_zone`); there is no other way to say one.
    """

    def __init__(self, cluster: ClusterConfig) -> None:
        self._cluster, self._runs = cluster, KubeflowClient(cluster)

    def put(self, spec: Path, name: str, schedule: ScheduleConfig) -> Scheduled:
        """As Scheduler.put; ConfigError for a time zone that is not the cluster's."""
        if schedule.time_zone != self._cluster.time_zone:
            raise ConfigError(
                f"schedule.time_zone={schedule.time_zone}: Kubeflow's scheduler has one time zone for all, which "
                f"cluster.time_zone says is {self._cluster.time_zone}; write the cron expression in that, or have "
                "CRON_SCHEDULE_TIMEZONE of ml-pipeline-scheduledworkflow changed and cluster.time_zone with it"
            )
        earlier, experiment = self._named(name), self._runs.open_experiment()
        newest = earlier[0] if earlier else None
        with self._runs.spoken() as client:
            made = client.create_recurring_run(
                experiment_id=experiment,
                job_name=name,
                start_time=timestamp(schedule.start),
                end_time=timestamp(schedule.end),
                cron_expression=f"0 {schedule.cron}",  # seconds come first
                description=f"{SINCE}{newest.since}" if newest and newest.since else None,
                params={},
                pipeline_package_path=str(spec),
                enabled=newest is None or newest.state == "ACTIVE",
                pipeline_root=self._cluster.root,
                service_account=self._cluster.service_account,
                **ONE_BY_ONE,
            )
            scheduled = as_scheduled(made)
        self._delete(earlier)
        return scheduled

    def find(self, name: str) -> Scheduled | None:
        """As Scheduler.find."""
        return next(iter(self._named(name)), None)

    def all(self) -> list[Scheduled]:
        """As Scheduler.all, of the configured experiment."""
        found: list[Scheduled] = []
        with self._runs.spoken() as client:
            experiment = self._runs.experiment()
            token = "" if experiment else None
            while token is not None:
                page = client.list_recurring_runs(
                    page_token=token, page_size=PAGE, sort_by="created_at desc", experiment_id=experiment
                )
                found += [as_scheduled(each) for each in page.recurring_runs or []]
                token = page.next_page_token or None
        return found

    def pause(self, name: str) -> None:
        """As Scheduler.pause."""
        with self._runs.spoken() as client:
            for each in self._there(name):
                client.disable_recurring_run(each.id)

    def resume(self, name: str) -> None:
        """As Scheduler.resume; by another of its kind, for the old one makes up for the last turn that it missed."""
        earlier = self._there(name)
        with self._runs.spoken() as client, TemporaryDirectory() as folder:
            old, path = client.get_recurring_run(earlier[0].id), Path(folder) / "turn.yaml"
            path.write_text(yaml.safe_dump_all(_documents(old.pipeline_spec)), encoding="utf-8")
            clock, config = old.trigger.cron_schedule, old.runtime_config
            made = client.create_recurring_run(
                experiment_id=old.experiment_id,
                job_name=name,
                start_time=timestamp(clock.start_time),
                end_time=timestamp(clock.end_time),
                cron_expression=clock.cron,
                params=config.parameters or {},
                pipeline_package_path=str(path),
                pipeline_root=config.pipeline_root,
                service_account=old.service_account,
                **ONE_BY_ONE,
            )
            as_scheduled(made)
        self._delete(earlier)

    def delete(self, name: str) -> None:
        """As Scheduler.delete."""
        self._delete(self._there(name))

    def _delete(self, those: list[Scheduled]) -> None:
        with self._runs.spoken() as client:
            for each in those:
                client.delete_recurring_run(each.id)

    def _named(self, name: str) -> list[Scheduled]:
        """Those of a pipeline, the newest first."""
        return [each for each in self.all() if each.name == name]

    def _there(self, name: str) -> list[Scheduled]:
        if found := self._named(name):
            return found
        raise EfficientDetError(f"{name}: has no schedule in the experiment {self._cluster.experiment}; set one first")


def _documents(spec: Json) -> list[Json]:
    """What a file of the specification holds that Kubeflow sends in one."""
    return [spec["pipeline_spec"], spec["platform_spec"]] if "pipeline_spec" in spec else [spec]


def as_scheduled(run: Any) -> Scheduled:
    """Of the client's V2beta1RecurringRun."""
    cron = (run.trigger and run.trigger.cron_schedule and run.trigger.cron_schedule.cron) or ""
    mode = {"ENABLE": "ACTIVE", "DISABLE": "PAUSED"}.get(run.mode or "", "ACTIVE")
    told = run.description or ""
    since = told.removeprefix(SINCE) if told.startswith(SINCE) else timestamp(run.created_at) or ""
    state = STATES.get(run.status or "", mode)
    return Scheduled(identity(run, "recurring_run_id"), run.display_name or "", state, cron, since=since)
