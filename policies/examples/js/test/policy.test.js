// The policy as plain JavaScript: quick to run while you write it. `ffrtmp policies check my-policy.wasm` tries the component.
import assert from "node:assert/strict";
import { test } from "node:test";
import { policy } from "../policy.js";

const cost = { cpuMillicores: 1000, memoryMib: 100, gpuSessions: 0, gpuMemoryMib: 0 };

const worker = (id, slots) => ({
  tag: "worker-up",
  val: {
    id,
    name: `w${id}`,
    accepting: true,
    slots,
    slotsUsed: 0,
    capacity: { cpuMillicores: 8000, memoryMib: 8000, gpuSessions: 0, gpuMemoryMib: 0 },
    reserved: { cpuMillicores: 0, memoryMib: 0, gpuSessions: 0, gpuMemoryMib: 0 },
    cpuLoadPermille: 0,
    memoryUsedMib: 0,
    encoders: 1,
    tags: 0n,
    labels: [],
    gpus: [],
  },
});

const ask = (jobs) => ({
  round: 1n,
  nowMs: 0n,
  seed: 0n,
  classes: [{ id: 0, encoders: 1, tags: 0n, gpu: false }],
  candidates: jobs.map((job) => ({ job, class: 0, group: 0, rank: 0n, cost, queue: 1, priority: 1, waitedMs: 0n })),
  exclusions: [],
});

test("each job goes to the worker with the most free slots, until none is left", () => {
  policy.init("");
  policy.sync(true, 1n, [worker(1, 1), worker(2, 2)]);
  const answer = policy.plan(ask([10, 11, 12, 13]));
  assert.deepEqual(
    answer.placements.map(({ job, worker }) => [job, worker]),
    [[10, 2], [11, 1], [12, 2]],
  );
  assert.deepEqual(answer.skips, [13]);
});

test("a job is not sent where it just failed", () => {
  policy.sync(true, 1n, [worker(1, 1), worker(2, 2)]);
  const answer = policy.plan({ ...ask([10]), exclusions: [{ candidate: 0, worker: 2 }] });
  assert.equal(answer.placements[0].worker, 1);
});

test("a configuration is refused by name", () => {
  assert.throws(() => policy.init('{"speed": 3}'), (why) => why.includes("speed"));
});
