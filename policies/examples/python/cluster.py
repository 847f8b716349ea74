"""The view of the cluster: rebuilt from changes, with capacity that can be taken for the length of one plan."""

from wit_world.imports import types


class Cluster:
    def __init__(self):
        self.workers = {}
        self.taken = []

    def clear(self):
        self.workers.clear()

    def apply(self, change):
        value = change.value
        match change:
            case types.Change_WorkerUp():
                self.workers[value.id] = value
            case types.Change_WorkerGone():
                self.workers.pop(value, None)
            case types.Change_JobStarted():
                self.count(self.workers.get(value.worker), value.gpu, value.cost, 1)
            case types.Change_JobEnded():
                self.count(self.workers.get(value.worker), value.gpu, value.cost, -1)
            case types.Change_JobRegrouped():
                pass  # for policies that count what each group uses
            case types.Change_GpuLoad():
                worker = self.workers.get(value.worker)
                if worker is not None:
                    worker.gpus[value.gpu].load_permille = value.load_permille
            case _:  # accepting, load or tags of a worker
                worker = self.workers.get(value.worker)
                for name, figure in vars(value).items():
                    if worker is not None and name != "worker":
                        setattr(worker, name, figure)

    def fits(self, worker, needs, cost):
        """Whether a job fits on a worker now, and the GPU it would use."""
        room = (
            worker.accepting
            and worker.slots_used < worker.slots
            and worker.encoders & needs.encoders == needs.encoders
            and worker.tags & needs.tags == needs.tags
            and worker.reserved.cpu_millicores + cost.cpu_millicores <= worker.capacity.cpu_millicores
            and worker.reserved.memory_mib + cost.memory_mib <= worker.capacity.memory_mib
        )
        if not room or not needs.gpu:
            return room, None
        for index, gpu in enumerate(worker.gpus):
            if (
                gpu.sessions_used + cost.gpu_sessions <= gpu.sessions_max
                and gpu.memory_reserved_mib + cost.gpu_memory_mib <= gpu.memory_mib
            ):
                return True, index
        return False, None

    def take(self, worker, gpu, cost):
        """Takes a job's capacity for the rest of this plan, so that later candidates see it gone."""
        self.count(worker, gpu, cost, 1)
        self.taken.append((worker, gpu, cost))

    def undo(self):
        """Gives back what was taken: only the master's next changes say which placements held."""
        for worker, gpu, cost in self.taken:
            self.count(worker, gpu, cost, -1)
        self.taken.clear()

    def count(self, worker, gpu, cost, sign):
        if worker is None:
            return
        worker.slots_used += sign
        worker.reserved.cpu_millicores += sign * cost.cpu_millicores
        worker.reserved.memory_mib += sign * cost.memory_mib
        if gpu is not None:
            worker.gpus[gpu].sessions_used += sign * cost.gpu_sessions
            worker.gpus[gpu].memory_reserved_mib += sign * cost.gpu_memory_mib
