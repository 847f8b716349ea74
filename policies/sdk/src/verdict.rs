//! Whether an answer holds: for policies' own tests, by the rules the master refuses entries by.

use std::collections::BTreeSet;

use crate::{Answer, Ask, Cluster};

/// Checks every entry of an answer, in order, with the capacity that those before it took.
///
/// # Errors
/// The first entry that the master would refuse, and why.
pub fn verdict(cluster: &Cluster, ask: &Ask, answer: &Answer) -> Result<(), String> {
    let mut cluster = cluster.clone();
    let mut answered = BTreeSet::new();
    let placed = answer.placements.iter().map(|p| p.job);
    let held = answer.holds.iter().map(|hold| hold.job);
    for job in placed.chain(answer.skips.iter().copied()).chain(held) {
        if !ask.candidates.iter().any(|c| c.job == job) {
            return Err(format!("job {job} was not asked about"));
        }
        if !answered.insert(job) {
            return Err(format!("job {job} is answered twice"));
        }
    }
    for placement in &answer.placements {
        let refuse = |why: &str| {
            let (job, worker, gpu) = (placement.job, placement.worker, placement.gpu);
            Err(format!("job {job} on worker {worker}, GPU {gpu:?}: {why}"))
        };
        let Some(candidate) = ask.candidates.iter().find(|c| c.job == placement.job) else {
            return refuse("it was not asked about");
        };
        let Some(class) = ask.classes.get(candidate.class as usize) else {
            return refuse("its class is not in the question");
        };
        let Some(worker) = cluster.worker(placement.worker) else {
            return refuse("there is no such worker");
        };
        if candidate.excluded.contains(&placement.worker) {
            return refuse("the job failed there");
        }
        if !Cluster::fits(worker, class, &candidate.cost) {
            return refuse("it does not fit");
        }
        let gpu = placement.gpu.map(|index| worker.gpus.get(index as usize));
        match gpu {
            None if class.gpu => return refuse("it needs a GPU and is given none"),
            Some(_) if !class.gpu => return refuse("it needs no GPU and is given one"),
            Some(None) => return refuse("there is no such GPU"),
            Some(Some(gpu)) if !Cluster::gpu_fits(gpu, &candidate.cost) => {
                return refuse("the GPU is full");
            }
            _ => {}
        }
        cluster.place(candidate, placement.worker, placement.gpu);
    }
    Ok(())
}
