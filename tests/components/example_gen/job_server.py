"""Beam's own job server in a process, with several workers a job: `job_server.py PORT WORKERS`.

Beam's `local_job_service_main` is this with one worker: it drops `--direct_num_workers`, which its runner would heed.
"""

from __future__ import annotations

import signal
import sys

from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability import local_job_service, local_job_service_main
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult


class ParallelJob(local_job_service.BeamJob):
    """A job that the runner deals out to so many workers."""

    def _invoke_runner(self) -> PipelineResult:
        self.set_state(local_job_service.beam_job_api_pb2.JobState.RUNNING)
        runner = FnApiRunner(provision_info=self._provision_info)
        runner._num_workers = int(self.pipeline_options().view_as(DirectOptions).direct_num_workers)
        return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    local_job_service.LocalJobServicer(beam_job_type=ParallelJob).start_grpc_server(int(sys.argv[1]))
    local_job_service_main.serve("serving")
