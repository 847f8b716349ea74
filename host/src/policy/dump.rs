//! What policies were last asked and answered, and what became of it: for `policies dump`.
//!
//! Costs a round next to nothing: the core hands over values it has no use for any more, and they are kept as they are. They
//! are put into words only when somebody asks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ffrtmp_api::rest::{
    DumpCandidate, DumpChange, DumpClass, DumpHold, DumpPlacement, DumpResources, DumpRound,
    PolicyDump, PolicyFault, PolicyQuestion,
};
use ffrtmp_policy_balanced::Balanced;
use ffrtmp_policy_sdk::{Ask, Change, JobOn, Policy, Resources, Worker, WorkerId};

use super::NATIVE;
use crate::core::round::{Decision, PolicyTag, Question};

/// Policies of which questions are kept, two each. A question with a snapshot of 10,000 workers is about 3 MiB, one without a
/// hundred KiB, so that in a very large farm all of it stays below 24 MiB.
const POLICIES_MAX: usize = 4;
/// Changes put into words.
const CHANGES_MAX: usize = 1_000;
/// Fewest hex digits by which a policy can be named.
const DIGEST_DIGITS_MIN: usize = 4;

/// The last questions. See the module's head.
#[derive(Debug, Default)]
pub(super) struct Questions {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The one that was asked last first.
    policies: VecDeque<Asked>,
    /// Workers' names, by the numbers policies know them by.
    names: BTreeMap<WorkerId, String>,
}

/// Of one policy.
#[derive(Debug)]
struct Asked {
    policy: Arc<PolicyTag>,
    last: Option<Arc<Decision>>,
    last_fault: Option<Arc<Decision>>,
}

impl Asked {
    fn is(&self, tag: &PolicyTag) -> bool {
        (&self.policy.name, &self.policy.digest) == (&tag.name, &tag.digest)
    }

    /// Whether a name, the beginning of a digest or `native` means it.
    fn is_meant_by(&self, what: &str) -> bool {
        let digits = what.len() >= DIGEST_DIGITS_MIN && self.policy.digest != NATIVE;
        self.policy.name == what
            || self.policy.digest == what
            || (digits && self.policy.digest.starts_with(&what.to_ascii_lowercase()))
    }
}

impl Questions {
    /// A policy is told these changes: they hold the names of workers.
    pub(super) fn told(&self, reset: bool, changes: &[Change]) {
        let of_workers =
            |change: &&Change| matches!(change, Change::WorkerUp(_) | Change::WorkerGone(_));
        if !reset && !changes.iter().any(|change| of_workers(&change)) {
            return;
        }
        let mut kept = self.lock();
        if reset {
            kept.names.clear();
        }
        for change in changes.iter().filter(of_workers) {
            match change {
                Change::WorkerUp(worker) => {
                    kept.names.insert(worker.id, worker.name.clone());
                }
                Change::WorkerGone(id) => {
                    kept.names.remove(id);
                }
                _ => {}
            }
        }
    }

    /// A question's end.
    pub(super) fn decided(&self, decision: Arc<Decision>) {
        let mut kept = self.lock();
        let at = kept.policies.iter().position(|a| a.is(&decision.policy));
        let known = at.and_then(|at| kept.policies.remove(at));
        let mut asked = known.unwrap_or_else(|| Asked {
            policy: decision.policy.clone(),
            last: None,
            last_fault: None,
        });
        match decision.fault {
            Some(_) => asked.last_fault = Some(decision),
            None => asked.last = Some(decision),
        }
        kept.policies.push_front(asked);
        kept.policies.truncate(POLICIES_MAX);
    }

    /// What is kept of a policy: by its name (the one asked last, if there are several), its digest's first digits, or `native`.
    pub(super) fn dump(&self, what: &str) -> Option<PolicyDump> {
        let kept = self.lock();
        let asked = kept.policies.iter().find(|asked| asked.is_meant_by(what))?;
        let (last, last_fault) = (asked.last.clone(), asked.last_fault.clone());
        let policy = asked.policy.clone();
        let names = kept.names.clone();
        drop(kept); // what follows may take milliseconds
        let words = |decision: Option<Arc<Decision>>| decision.map(|d| question(&d, &names));
        Some(PolicyDump {
            policy: policy.name.clone(),
            digest: policy.digest.clone(),
            last: words(last),
            last_fault: words(last_fault),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn question(decision: &Decision, names: &BTreeMap<WorkerId, String>) -> PolicyQuestion {
    let changes = decision.changes.iter().take(CHANGES_MAX).map(change);
    let (round, ranking) = match &decision.question {
        Question::Plan(ask) => (Some(round(ask, decision, names)), Vec::new()),
        Question::Rank(jobs) => (None, jobs.iter().map(|job| job.0).collect()),
    };
    PolicyQuestion {
        question: decision.id,
        at_ms: decision.at_ms,
        guest_us: decision.guest_us,
        fault: decision.fault.as_ref().map(|(stage, message)| PolicyFault {
            stage: stage.as_str().to_owned(),
            message: message.clone(),
        }),
        reset: decision.reset,
        changes: changes.collect(),
        changes_left_out: decision.changes.len().saturating_sub(CHANGES_MAX),
        round,
        ranking,
    }
}

fn round(ask: &Ask, decision: &Decision, names: &BTreeMap<WorkerId, String>) -> DumpRound {
    // Whoever failed did not give this answer, and its reasons mean nothing in it.
    let stand_in = decision.fault.is_some().then(|| PolicyTag {
        reasons: Balanced::info().reasons,
        ..(*decision.policy).clone()
    });
    let by = stand_in.as_ref().unwrap_or(&decision.policy);
    let answer = &decision.answer;
    let class = |c: &ffrtmp_policy_sdk::Class| DumpClass {
        id: c.id,
        encoders: c.encoders,
        tags: c.tags,
        gpu: c.gpu,
    };
    let candidate = |c: &ffrtmp_policy_sdk::Candidate| DumpCandidate {
        job: c.job,
        class: c.class,
        group: c.group,
        rank: c.rank,
        cost: resources(&c.cost),
        queue: c.queue,
        priority: c.priority,
        waited_ms: c.waited_ms,
        excluded: c.excluded.clone(),
    };
    let placements = answer.placements.iter().zip(&decision.refused);
    let holds = answer.holds.iter().zip(&decision.held);
    DumpRound {
        round: ask.round,
        now_ms: ask.now_ms,
        seed: ask.seed,
        classes: ask.classes.iter().map(class).collect(),
        candidates: ask.candidates.iter().map(candidate).collect(),
        placements: placements
            .map(|(placement, refused)| DumpPlacement {
                job: placement.job,
                worker: placement.worker,
                node: names.get(&placement.worker).cloned(),
                gpu: placement.gpu,
                score: placement.score,
                reason: by.reason(placement.reason, placement.arg),
                refused: refused.map(|refusal| refusal.as_str().to_owned()),
            })
            .collect(),
        skips: answer.skips.clone(),
        holds: holds
            .map(|(hold, carried_out)| DumpHold {
                job: hold.job,
                until_ms: hold.until_ms,
                reason: by.reason(hold.reason, hold.arg),
                carried_out: *carried_out,
            })
            .collect(),
    }
}

fn resources(r: &Resources) -> DumpResources {
    DumpResources {
        cpu_millicores: r.cpu_millicores,
        memory_mib: r.memory_mib,
        gpu_sessions: r.gpu_sessions,
        gpu_memory_mib: r.gpu_memory_mib,
    }
}

fn change(change: &Change) -> DumpChange {
    let (word, worker, job, detail) = match change {
        Change::WorkerUp(w) => ("worker-up", w.id, None, worker_in_words(w)),
        Change::WorkerGone(id) => ("worker-gone", *id, None, String::new()),
        Change::WorkerAccepting { worker, accepting } => {
            let detail = format!("accepting {accepting}");
            ("worker-accepting", *worker, None, detail)
        }
        Change::WorkerLoad {
            worker,
            cpu_load_permille,
            memory_used_mib,
        } => {
            let detail = format!("CPU {cpu_load_permille} ‰, memory {memory_used_mib} MiB");
            ("worker-load", *worker, None, detail)
        }
        Change::WorkerTags { worker, tags } => {
            ("worker-tags", *worker, None, format!("tags {tags:#b}"))
        }
        Change::GpuLoad {
            worker,
            gpu,
            load_permille,
        } => {
            let detail = format!("GPU {gpu}: {load_permille} ‰");
            ("gpu-load", *worker, None, detail)
        }
        Change::JobStarted(on) => ("job-started", on.worker, Some(on.job), job_in_words(on)),
        Change::JobRegrouped(on) => ("job-regrouped", on.worker, Some(on.job), job_in_words(on)),
        Change::JobEnded(on) => ("job-ended", on.worker, Some(on.job), job_in_words(on)),
    };
    DumpChange {
        change: word.to_owned(),
        worker,
        job,
        detail,
    }
}

fn worker_in_words(w: &Worker) -> String {
    format!(
        "{}, accepting {}, {} of {} slots used, {} of {} millicores and {} of {} MiB reserved, CPU load {} ‰, {} MiB in use, \
         encoders {:#b}, tags {:#b}, {} GPUs",
        w.name,
        w.accepting,
        w.slots_used,
        w.slots,
        w.reserved.cpu_millicores,
        w.capacity.cpu_millicores,
        w.reserved.memory_mib,
        w.capacity.memory_mib,
        w.cpu_load_permille,
        w.memory_used_mib,
        w.encoders,
        w.tags,
        w.gpus.len()
    )
}

fn job_in_words(on: &JobOn) -> String {
    let gpu = on
        .gpu
        .map_or_else(String::new, |gpu| format!(", GPU {gpu}"));
    format!(
        "group {}, {} millicores, {} MiB{gpu}",
        on.group, on.cost.cpu_millicores, on.cost.memory_mib
    )
}

#[cfg(test)]
mod tests {
    use ffrtmp_policy_sdk::{Answer, Candidate, Hold, Placement};

    use super::*;
    use crate::core::{round::FaultStage, stats::Refusal};

    fn decision(id: u64, name: &str, fault: bool) -> Arc<Decision> {
        let placement = |job| Placement {
            job,
            worker: 3,
            arg: 9,
            ..Placement::default()
        };
        let tag = PolicyTag {
            name: name.into(),
            digest: "3f9a02c41b2d".into(),
            config: String::new(),
            budget_us: 0,
            stall_ms: 0,
            reasons: vec!["it is free: {}".into()],
        };
        Arc::new(Decision {
            id,
            at_ms: 1,
            reset: false,
            changes: Arc::new(vec![Change::WorkerGone(8); CHANGES_MAX + 2]),
            question: Question::Plan(Arc::new(Ask {
                candidates: vec![Candidate::default(); 2],
                ..Ask::default()
            })),
            policy: Arc::new(tag),
            fault: fault.then(|| (FaultStage::Plan, "it trapped".to_owned())),
            guest_us: 12,
            jobs: Vec::new(),
            answer: Answer {
                placements: vec![placement(1), placement(2)],
                skips: vec![4],
                holds: vec![Hold::default()],
            },
            refused: vec![None, Some(Refusal::NoCapacity)],
            held: vec![true],
        })
    }

    #[test]
    fn a_dump_says_what_became_of_each_entry_and_names_the_worker() {
        let questions = Questions::default();
        let worker = Worker {
            id: 3,
            name: "w3".into(),
            ..Worker::default()
        };
        questions.told(true, &[Change::WorkerUp(worker)]);
        questions.decided(decision(1, "binpack", false));
        let dump = questions.dump("3f9a").unwrap();
        assert_eq!((dump.policy.as_str(), &dump.last_fault), ("binpack", &None));
        let last = dump.last.unwrap();
        assert_eq!(
            (last.changes.len(), last.changes_left_out),
            (CHANGES_MAX, 2)
        );
        let round = last.round.unwrap();
        let told: Vec<_> = round
            .placements
            .iter()
            .map(|p| p.refused.as_deref())
            .collect();
        assert_eq!(told, [None, Some("no_capacity")]);
        assert_eq!(round.placements[0].node.as_deref(), Some("w3"));
        assert_eq!(round.placements[0].reason, "it is free: 9");
        assert!(round.holds[0].carried_out);
        assert!(questions.dump("nobody").is_none());
    }

    #[test]
    fn the_question_in_which_a_policy_failed_stays_while_it_answers_others() {
        let questions = Questions::default();
        questions.decided(decision(1, "binpack", true));
        for id in 2..9 {
            questions.decided(decision(id, "binpack", false));
        }
        let dump = questions.dump("binpack").unwrap();
        let fault = dump.last_fault.unwrap();
        assert_eq!(fault.question, 1);
        assert_eq!(fault.fault.unwrap().message, "it trapped");
        assert_eq!(dump.last.unwrap().question, 8);
    }

    #[test]
    fn only_the_policies_that_were_asked_last_are_kept() {
        let questions = Questions::default();
        for n in 0..POLICIES_MAX + 1 {
            questions.decided(decision(1, &format!("p{n}"), false));
        }
        assert!(questions.dump("p0").is_none());
        assert!(questions.dump("p1").is_some());
    }
}
