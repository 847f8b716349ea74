"""The policy as plain Python: quick to run while you write it. `ffrtmp policies check my-policy.wasm` tries the component."""

import unittest

from app import Policy
from componentize_py_types import Err
from wit_world.imports import types

COST = types.Resources(cpu_millicores=1000, memory_mib=100, gpu_sessions=0, gpu_memory_mib=0)


def worker(id, slots):
    nothing = types.Resources(0, 0, 0, 0)
    return types.Change_WorkerUp(
        types.Worker(
            id=id,
            name=f"w{id}",
            accepting=True,
            slots=slots,
            slots_used=0,
            capacity=types.Resources(8000, 8000, 0, 0),
            reserved=nothing,
            cpu_load_permille=0,
            memory_used_mib=0,
            encoders=1,
            tags=0,
            labels=[],
            gpus=[],
        )
    )


def ask(jobs, exclusions=()):
    return types.Ask(
        round=1,
        now_ms=0,
        seed=0,
        classes=[types.Class(id=0, encoders=1, tags=0, gpu=False)],
        candidates=[types.Candidate(job, 0, 0, 0, COST, 1, 1, 0) for job in jobs],
        exclusions=list(exclusions),
    )


class PolicyTest(unittest.TestCase):
    def test_each_job_goes_to_the_worker_with_the_most_free_slots_until_none_is_left(self):
        policy = Policy()
        policy.sync(True, 1, [worker(1, 1), worker(2, 2)])
        answer = policy.plan(ask([10, 11, 12, 13]))
        self.assertEqual([(p.job, p.worker) for p in answer.placements], [(10, 2), (11, 1), (12, 2)])
        self.assertEqual(answer.skips, [13])

    def test_a_job_is_not_sent_where_it_just_failed(self):
        policy = Policy()
        policy.sync(True, 1, [worker(1, 1), worker(2, 2)])
        answer = policy.plan(ask([10], [types.Exclusion(candidate=0, worker=2)]))
        self.assertEqual(answer.placements[0].worker, 1)

    def test_a_configuration_is_refused_by_name(self):
        with self.assertRaises(Err) as refused:
            Policy().init('{"speed": 3}')
        self.assertIn("speed", refused.exception.value)


if __name__ == "__main__":
    unittest.main()
