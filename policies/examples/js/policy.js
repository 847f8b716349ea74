// A first policy: oldest job first, each on the worker with the most free slots.
//
// The contract, with every rule the master enforces, is wit/scheduler.wit. What it calls `s64` and `u64` is a BigInt here;
// names-with-dashes are camelCase. The cluster's view is kept by cluster.js; what you decide is below.

import { Cluster } from "./cluster.js";

const cluster = new Cluster();

export const policy = {
  // Once. `config` is the [config] table beside the policy's file, as JSON, or "". Throw a string to refuse it.
  init(config) {
    const unknown = Object.keys(config === "" ? {} : JSON.parse(config));
    if (unknown.length > 0) {
      throw `its [config] has ${unknown.join(", ")}; this policy takes no configuration`;
    }
    return {
      name: "my-policy",
      version: "0.1.0",
      // Users read these in `ffrtmp jobs explain`. `{}` is the placement's `arg`.
      reasons: ["most free slots: {} of them were free"],
    };
  },

  // What happened since the last call. With `reset`: forget everything, this is all there is.
  sync(reset, seq, changes) {
    if (reset) cluster.clear();
    for (const change of changes) cluster.apply(change);
  },

  // Where each job stands in the queue; smaller is first. Asked once of each job, so it must not depend on the time.
  rank(jobs) {
    return jobs.map((job) => ({ rank: job.submittedMs, group: 0 }));
  },

  // A round: which candidate goes where. Candidates come in order of rank.
  plan(ask) {
    const answer = { placements: [], skips: [], holds: [] };
    const excluded = ask.exclusions.map(({ candidate, worker }) => `${candidate} ${worker}`);
    const avoid = new Set(excluded);
    ask.candidates.forEach((candidate, i) => {
      const needs = ask.classes[candidate.class];
      let best;
      for (const worker of cluster.workers.values()) {
        if (avoid.has(`${i} ${worker.id}`)) continue;
        const gpu = cluster.fits(worker, needs, candidate.cost);
        if (gpu === false) continue;
        const free = worker.slots - worker.slotsUsed;
        if (best === undefined || free > best.free) best = { worker, gpu, free };
      }
      if (best === undefined) {
        // Smaller jobs behind this one may still fit: let the window slide on past it.
        answer.skips.push(candidate.job);
        return;
      }
      cluster.take(best.worker, best.gpu, candidate.cost);
      answer.placements.push({
        job: candidate.job,
        worker: best.worker.id,
        gpu: best.gpu,
        score: BigInt(best.free),
        reason: 0,
        arg: BigInt(best.free),
      });
    });
    cluster.undo();
    return answer;
  },
};
