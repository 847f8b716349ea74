"""A first policy: oldest job first, each on the worker with the most free slots.

The contract, with every rule the master enforces, is wit/scheduler.wit; names-with-dashes are snake_case here. The cluster's
view is kept by cluster.py; what you decide is below.
"""

import json

from cluster import Cluster
from wit_world import exports
from componentize_py_types import Err
from wit_world.imports.types import Answer, Info, JobRank, Placement


# Here, not in the class: a fresh object of it is made for each call.
cluster = Cluster()


class Policy(exports.Policy):
    def init(self, config):
        """Once. `config` is the [config] table beside the policy's file, as JSON, or "". Raise Err to refuse it."""
        unknown = json.loads(config) if config else {}
        if unknown:
            raise Err(f"its [config] has {', '.join(unknown)}; this policy takes no configuration")
        # Users read the reasons in `ffrtmp jobs explain`. `{}` is the placement's `arg`.
        return Info(name="my-policy", version="0.1.0", reasons=["most free slots: {} of them were free"])

    def sync(self, reset, seq, changes):
        """What happened since the last call. With `reset`: forget everything, this is all there is."""
        if reset:
            cluster.clear()
        for change in changes:
            cluster.apply(change)

    def rank(self, jobs):
        """Where each job stands in the queue; smaller is first. Asked once of each job: it must not depend on the time."""
        return [JobRank(rank=job.submitted_ms, group=0) for job in jobs]

    def plan(self, ask):
        """A round: which candidate goes where. Candidates come in order of rank."""
        answer = Answer(placements=[], skips=[], holds=[])
        avoid = {(exclusion.candidate, exclusion.worker) for exclusion in ask.exclusions}
        for i, candidate in enumerate(ask.candidates):
            needs = ask.classes[candidate.class_]
            best = None
            for worker in cluster.workers.values():
                fits, gpu = cluster.fits(worker, needs, candidate.cost)
                free = worker.slots - worker.slots_used
                if fits and (i, worker.id) not in avoid and (best is None or free > best[2]):
                    best = worker, gpu, free
            if best is None:
                # Smaller jobs behind this one may still fit: let the window slide on past it.
                answer.skips.append(candidate.job)
                continue
            worker, gpu, free = best
            cluster.take(worker, gpu, candidate.cost)
            answer.placements.append(
                Placement(job=candidate.job, worker=worker.id, gpu=gpu, score=free, reason=0, arg=free)
            )
        cluster.undo()
        return answer
