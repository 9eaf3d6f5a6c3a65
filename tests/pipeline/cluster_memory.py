"""What a cluster remembers of runs and schedules, in Kubeflow's or in Vertex AI's words, and how its scheduler begins.

Every run and schedule is a minute younger than the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.pipeline.cluster_server import NotThereError, Request

CREATED = "2026-01-02T03:04:05+00:00"

Json = dict[str, Any]
Answers = dict[str, Callable[[Request], Json]]


class Cluster:
    """Answers for a ClusterServer; `runs` in the order in which they began, `schedules` by id."""

    def __init__(self) -> None:
        self.runs: list[Json] = []
        self.experiments: list[Json] = []
        self.schedules: dict[str, Json] = {}
        self._things = 0

    def now(self) -> str:
        """The next minute."""
        self._things += 1
        return (datetime.fromisoformat(CREATED) + timedelta(minutes=self._things - 1)).isoformat()

    def find(self, key: str, value: str) -> Json:
        """The run with this id or name."""
        for run in self.runs:
            if run[key] == value:
                return run
        raise NotThereError(f"there is no {value}")

    def schedule(self, name: str) -> Json:
        """The schedule of this id."""
        if name not in self.schedules:
            raise NotThereError(f"there is no {name}")
        return self.schedules[name]


class Kubeflow(Cluster):
    """As kfp_server_api has it."""

    @property
    def answers(self) -> Answers:
        runs, turns, groups = "run_service", "recurring_run_service", "experiment_service"
        return {
            f"{runs}_create_run": lambda asked: self.begin(asked.body or {}),
            f"{runs}_get_run": lambda asked: self.find("run_id", asked.parameters["run_id"]),
            f"{runs}_list_runs": lambda asked: page(asked, "runs", self.runs[::-1]),
            f"{groups}_create_experiment": self._open,
            f"{groups}_list_experiments": lambda asked: {"experiments": self.experiments},
            f"{turns}_create_recurring_run": self._set,
            f"{turns}_list_recurring_runs": lambda asked: page(
                asked, "recurringRuns", [*self.schedules.values()][::-1]
            ),
            f"{turns}_get_recurring_run": lambda asked: self.schedule(asked.parameters["recurring_run_id"]),
            f"{turns}_disable_recurring_run": lambda asked: self._switch(asked, "DISABLED"),
            f"{turns}_enable_recurring_run": lambda asked: self._switch(asked, "ENABLED"),
            f"{turns}_delete_recurring_run": self._delete,
        }

    def begin(self, run: Json) -> Json:
        """Starts what is submitted."""
        details = {"task_details": [{"display_name": "Trainer", "state": "RUNNING"}]}
        own = {"run_id": f"r{len(self.runs)}", "state": "RUNNING", "created_at": self.now(), "run_details": details}
        self.runs.append({**run, **own})
        return self.runs[-1]

    def tick(self) -> tuple[Json, Json]:
        """Does what the scheduler does when it is time: the run that begins, and its specification."""
        [schedule] = self.schedules.values()
        assert schedule["status"] == "ENABLED"
        kept = {key: schedule[key] for key in ("pipeline_spec", "runtime_config", "recurring_run_id")}
        run = self.begin({**kept, "display_name": f"{schedule['display_name']}-abc12-1"})
        return run, run["pipeline_spec"].get("pipeline_spec", run["pipeline_spec"])

    def end(self, run: Json, state: str) -> None:
        """Ends a run."""
        run["state"] = state

    def _open(self, asked: Request) -> Json:
        self.experiments = [{**(asked.body or {}), "experiment_id": "e1"}]
        return self.experiments[-1]

    def _set(self, asked: Request) -> Json:
        body, made = asked.body or {}, self.now()
        own = {"recurring_run_id": f"s{self._things}", "created_at": made}
        status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[body["mode"]]
        self.schedules[own["recurring_run_id"]] = {**body, **own, "status": status}
        return self.schedules[own["recurring_run_id"]]

    def _switch(self, asked: Request, status: str) -> Json:
        self.schedule(asked.parameters["recurring_run_id"])["status"] = status
        return {}

    def _delete(self, asked: Request) -> Json:
        del self.schedules[asked.parameters["recurring_run_id"]]
        return {}


class Vertex(Cluster):
    """As google.cloud.aiplatform_v1 has it."""

    @property
    def answers(self) -> Answers:
        return {
            "CreatePipelineJob": lambda asked: self.begin(asked.body or {}, asked.parameters["pipelineJobId"]),
            "GetPipelineJob": lambda asked: self.find("name", asked.parameters["name"]),
            "ListPipelineJobs": self._list,
            "CreateSchedule": self._set,
            "ListSchedules": lambda asked: {"schedules": list(self.schedules.values())},
            "UpdateSchedule": self._change,
            "PauseSchedule": lambda asked: self._switch(asked, "PAUSED"),
            "ResumeSchedule": lambda asked: self._switch(asked, "ACTIVE"),
            "DeleteSchedule": self._delete,
            "GetSchedule": lambda asked: self.schedule(asked.parameters["name"]),
        }

    def begin(self, job: Json, job_id: str) -> Json:
        """Starts what is submitted."""
        detail = {"taskDetails": [{"taskName": "Trainer", "state": "RUNNING"}]}
        own = {"name": f"{PARENT}/pipelineJobs/{job_id}", "createTime": self.now(), "jobDetail": detail}
        self.runs.append({**job, **own, "state": "PIPELINE_STATE_RUNNING"})
        return self.runs[-1]

    def tick(self) -> tuple[Json, Json]:
        """Does what the scheduler does when it is time: the run that begins, and its specification."""
        [schedule] = self.schedules.values()
        assert schedule["state"] == "ACTIVE"
        job = schedule["createPipelineJobRequest"]["pipelineJob"]
        run = self.begin({**job, "scheduleName": schedule["name"]}, f"digits-turn-{len(self.runs)}")
        return run, run["pipelineSpec"]

    def end(self, run: Json, state: str) -> None:
        """Ends a run."""
        run["state"] = f"PIPELINE_STATE_{state}"

    def _list(self, asked: Request) -> Json:
        name, _, value = asked.parameters["filter"].removeprefix("labels.").partition("=")
        return {"pipelineJobs": [job for job in self.runs[::-1] if f'"{job["labels"][name]}"' == value]}

    def _set(self, asked: Request) -> Json:
        made = self.now()
        name = f"{PARENT}/schedules/{self._things}"
        self.schedules[name] = {**(asked.body or {}), "name": name, "state": "ACTIVE", "createTime": made}
        return self.schedules[name]

    def _change(self, asked: Request) -> Json:
        body = asked.body or {}
        old = self.schedule(f"{PARENT}/schedules/{asked.parameters['schedule_name'].rpartition('/')[2]}")
        assert old["state"] != "COMPLETED", "the schedule has ended"
        for path in asked.parameters["updateMask"].split(","):
            old[path] = body.get(path)
        return old

    def _switch(self, asked: Request, state: str) -> Json:
        assert not (asked.body or {}).get("catchUp"), "turns that were missed are made up for"
        resumed = {"lastResumeTime": self.now()} if state == "ACTIVE" else {}
        self.schedule(asked.parameters["name"]).update(resumed, state=state)
        return {}

    def _delete(self, asked: Request) -> Json:
        del self.schedules[asked.parameters["name"]]
        nothing = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        return {"name": "operations/1", "done": True, "response": nothing}


PARENT = "projects/team/locations/europe-west4"


def page(asked: Request, field: str, things: list[Json]) -> Json:
    """A page of a list, as large as is asked for, and where the next begins."""
    first = int(asked.parameters.get("page_token") or 0)
    last = first + int(asked.parameters.get("page_size") or 10)
    return {field: things[first:last], **({"next_page_token": str(last)} if last < len(things) else {})}
