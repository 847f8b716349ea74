// The view of the cluster: rebuilt from changes, with capacity that can be taken for the length of one plan.

export class Cluster {
  constructor() {
    this.workers = new Map();
    this.taken = [];
  }

  clear() {
    this.workers.clear();
  }

  apply({ tag, val }) {
    switch (tag) {
      case "worker-up":
        this.workers.set(val.id, val);
        break;
      case "worker-gone":
        this.workers.delete(val);
        break;
      case "worker-accepting":
      case "worker-load":
      case "worker-tags": {
        const { worker, ...figures } = val;
        Object.assign(this.workers.get(worker) ?? {}, figures);
        break;
      }
      case "gpu-load":
        Object.assign(this.workers.get(val.worker)?.gpus[val.gpu] ?? {}, { loadPermille: val.loadPermille });
        break;
      case "job-started":
        this.count(this.workers.get(val.worker), val.gpu, val.cost, 1);
        break;
      case "job-ended":
        this.count(this.workers.get(val.worker), val.gpu, val.cost, -1);
        break;
      case "job-regrouped": // for policies that count what each group uses
        break;
    }
  }

  // Whether a job fits on a worker now: `false`, or the GPU it would use (`undefined` for one that needs none).
  fits(worker, needs, cost) {
    const has = (bits, all) => (bits & all) === all;
    const room =
      worker.accepting &&
      worker.slotsUsed < worker.slots &&
      has(BigInt(worker.encoders), BigInt(needs.encoders)) &&
      has(worker.tags, needs.tags) &&
      worker.reserved.cpuMillicores + cost.cpuMillicores <= worker.capacity.cpuMillicores &&
      worker.reserved.memoryMib + cost.memoryMib <= worker.capacity.memoryMib;
    if (!room) return false;
    if (!needs.gpu) return undefined;
    const gpu = worker.gpus.findIndex(
      (gpu) =>
        gpu.sessionsUsed + cost.gpuSessions <= gpu.sessionsMax &&
        gpu.memoryReservedMib + cost.gpuMemoryMib <= gpu.memoryMib,
    );
    return gpu >= 0 && gpu;
  }

  // Takes a job's capacity for the rest of this plan, so that later candidates see it gone.
  take(worker, gpu, cost) {
    this.count(worker, gpu, cost, 1);
    this.taken.push([worker, gpu, cost]);
  }

  // Gives back what was taken: only the master's next changes say which placements held.
  undo() {
    for (const [worker, gpu, cost] of this.taken) this.count(worker, gpu, cost, -1);
    this.taken = [];
  }

  count(worker, gpu, cost, sign) {
    if (worker === undefined) return;
    worker.slotsUsed += sign;
    worker.reserved.cpuMillicores += sign * cost.cpuMillicores;
    worker.reserved.memoryMib += sign * cost.memoryMib;
    const used = gpu === undefined || gpu === null ? undefined : worker.gpus[gpu];
    if (used !== undefined) {
      used.sessionsUsed += sign * cost.gpuSessions;
      used.memoryReservedMib += sign * cost.gpuMemoryMib;
    }
  }
}
