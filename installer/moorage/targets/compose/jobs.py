"""Jobs: one-shot containers that run to their end, with their last lines when they fail."""

from __future__ import annotations

from moorage.console import Console
from moorage.errors import CommandFailed, DeployError, MoorageError
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.facts import JobFacts, StackFacts
from moorage.targets.compose.migration_lock import migration_lock


def run_before_rollout(docker: Docker, facts: StackFacts, console: Console) -> None:
    """Run the jobs that must be done before new containers start, in the order of the file."""
    due = [job for job in facts.jobs if job.run == "before-rollout"]
    if not due:
        return
    with migration_lock(docker, facts, console):
        for job in due:
            _finish_earlier(docker, job, console)
            run_job(docker, job, console)


def run_job(docker: Docker, job: JobFacts, console: Console) -> None:
    """Run one job. Raises DeployError with its last lines when it fails or takes too long."""
    console.action(f"job {job.name}: {job.describe or 'runs once'}")
    try:
        with console.waiting(f"job {job.name}", job.timeout_seconds):
            result = docker.compose("run", "--rm", "--no-deps", "-T", job.name, timeout_seconds=job.timeout_seconds)
    except CommandFailed as error:
        console.failure(f"job {job.name} failed with status {error.status}")
        console.detail("\n".join(error.output.splitlines()[-20:]))
        raise DeployError(f"the job {job.name} failed with status {error.status}", "its last lines are above") from None
    except MoorageError as error:
        _stop(docker, job)
        raise DeployError(
            f"the job {job.name} did not end within {job.timeout_seconds} seconds and was stopped", error.hint
        ) from None
    for line in result.output.splitlines()[-5:]:
        console.detail(line)
    console.success(f"job {job.name} done")


def _finish_earlier(docker: Docker, job: JobFacts, console: Console) -> None:
    """A container of this job that a killed run left: wait for it, two migrations at once help nobody."""
    for item in docker.containers():
        if item.service != job.name:
            continue
        if item.is_running:
            with console.waiting(f"an earlier run of {job.name} ends", job.timeout_seconds):
                docker.docker("wait", item.id, check=False, timeout_seconds=job.timeout_seconds)
        docker.docker("rm", "--force", item.id, check=False)


def _stop(docker: Docker, job: JobFacts) -> None:
    for item in docker.containers():
        if item.service == job.name and item.is_running:
            docker.docker("rm", "--force", item.id, check=False)
