"""Schedules on Kubeflow Pipelines: its recurring runs, through its own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cluster import ClusterConfig
from pipeline.kubeflow_client import KubeflowClient
from pipeline.schedule import ScheduleConfig, Scheduled, timestamp

PAGE = 100
STATES = {"ENABLED": "ACTIVE", "DISABLED": "PAUSED"}


class KubeflowScheduler:
    """A Scheduler.

    Kubeflow cannot change a recurring run: `put` makes another and then deletes those it replaces, so that a kill in
    between leaves one too many, which the next `put` removes, and never none. Cron expressions are in the time zone
    that the cluster was set up with (`cluster.time_zone`); there is no other way to say one.
    """

    def __init__(self, cluster: ClusterConfig) -> None:
        self._cluster, self._runs = cluster, KubeflowClient(cluster)

    def put(self, spec: Path, name: str, schedule: ScheduleConfig, parameters: dict[str, Any]) -> Scheduled:
        """As Scheduler.put; ConfigError for a time zone that is not the cluster's."""
        if schedule.time_zone != self._cluster.time_zone:
            raise ConfigError(
                f"schedule.time_zone={schedule.time_zone}: Kubeflow's scheduler has one time zone for all, which "
                f"cluster.time_zone says is {self._cluster.time_zone}; write the cron expression in that, or have "
                "CRON_SCHEDULE_TIMEZONE of ml-pipeline-scheduledworkflow changed and cluster.time_zone with it"
            )
        earlier = self._named(name)
        with self._runs.spoken() as client:
            experiment = client.create_experiment(self._cluster.experiment, namespace=self._cluster.namespace)
            made = client.create_recurring_run(
                experiment_id=experiment.experiment_id,
                job_name=name,
                start_time=timestamp(schedule.start),
                end_time=timestamp(schedule.end),
                cron_expression=f"0 {schedule.cron}",  # seconds come first
                max_concurrency=str(schedule.max_concurrent),  # as its API has it, whatever the client says
                no_catchup=True,
                params=parameters,
                pipeline_package_path=str(spec),
                enabled=not any(old.state == "PAUSED" for old in earlier),
                pipeline_root=self._cluster.root,
                service_account=self._cluster.service_account,
            )
            for old in earlier:
                client.delete_recurring_run(old.id)
        return as_scheduled(made)

    def find(self, name: str) -> Scheduled | None:
        """As Scheduler.find."""
        return next(iter(self._named(name)), None)

    def all(self) -> list[Scheduled]:
        """As Scheduler.all, of the configured experiment."""
        found: list[Scheduled] = []
        with self._runs.spoken() as client:
            try:
                experiment = client.get_experiment(
                    experiment_name=self._cluster.experiment, namespace=self._cluster.namespace
                )
            except ValueError:  # the client's way to say that there is none yet
                return []
            token = ""
            while True:
                page = client.list_recurring_runs(
                    page_token=token,
                    page_size=PAGE,
                    sort_by="created_at desc",
                    experiment_id=experiment.experiment_id,
                )
                found += [as_scheduled(each) for each in page.recurring_runs or []]
                token = page.next_page_token or ""
                if not token:
                    return found

    def pause(self, name: str) -> None:
        """As Scheduler.pause."""
        with self._runs.spoken() as client:
            for each in self._there(name):
                client.disable_recurring_run(each.id)

    def resume(self, name: str) -> None:
        """As Scheduler.resume; of the turns that were missed Kubeflow may make up for the last."""
        with self._runs.spoken() as client:
            for each in self._there(name)[:1]:
                client.enable_recurring_run(each.id)

    def delete(self, name: str) -> None:
        """As Scheduler.delete."""
        with self._runs.spoken() as client:
            for each in self._there(name):
                client.delete_recurring_run(each.id)

    def _named(self, name: str) -> list[Scheduled]:
        return [each for each in self.all() if each.name == name]

    def _there(self, name: str) -> list[Scheduled]:
        if found := self._named(name):
            return found
        raise EfficientDetError(f"{name}: has no schedule in the experiment {self._cluster.experiment}; set one first")


def as_scheduled(run: Any) -> Scheduled:
    """Of the client's V2beta1RecurringRun."""
    cron = (run.trigger and run.trigger.cron_schedule and run.trigger.cron_schedule.cron) or ""
    mode = {"ENABLE": "ACTIVE", "DISABLE": "PAUSED"}.get(run.mode or "", "ACTIVE")
    return Scheduled(run.recurring_run_id, run.display_name or "", STATES.get(run.status or "", mode), cron)
