//! Why a job waits, in words for the user who asks.

use ffrtmp_api::{encoder::Encoder, ids::JobSeq, job::JobState};
use ffrtmp_policy_sdk::{Class, Cluster, Worker};

use super::{Core, Now, queue::Place};

impl Core {
    /// Why a pending job waits; none for a job that does not.
    pub(super) fn explain_waiting(&self, seq: JobSeq, now: Now) -> Option<String> {
        let job = self
            .jobs
            .get(&seq)
            .filter(|job| job.status.state == JobState::Pending)?;
        if let Place::Delayed { until_ms } = job.place {
            let seconds = until_ms.saturating_sub(now.mono_ms) as f64 / 1e3;
            let reason = job.wait_reason.as_deref().unwrap_or("delayed");
            return Some(format!("{reason} (for another {seconds:.1} s)"));
        }
        let class = self.classes.get(job.class);
        let connected: Vec<&Worker> = self
            .cluster
            .workers()
            .iter()
            .filter(|w| w.accepting)
            .collect();
        if connected.is_empty() {
            return Some("no worker is connected and taking work".into());
        }
        let able: Vec<&&Worker> = connected.iter().filter(|w| meets(w, &class)).collect();
        if able.is_empty() {
            return Some(format!(
                "none of the {} connected workers has {}",
                connected.len(),
                self.describe_needs(&class)
            ));
        }
        if able.iter().all(|w| {
            job.cost.cpu_millicores > w.capacity.cpu_millicores
                || job.cost.memory_mib > w.capacity.memory_mib
        }) {
            return Some(format!(
                "it needs {} millicores and {} MiB, more than any of the {} workers that could run it has in all",
                job.cost.cpu_millicores,
                job.cost.memory_mib,
                able.len()
            ));
        }
        if !able.iter().any(|w| Cluster::fits(w, &class, &job.cost)) {
            return Some(format!(
                "the {} workers that could run it are full ({} jobs on {} slots)",
                able.len(),
                able.iter().map(|w| w.slots_used).sum::<u32>(),
                able.iter().map(|w| w.slots).sum::<u32>()
            ));
        }
        Some("its turn in the queue: there is room, and jobs before it are placed first".into())
    }

    /// What a class needs, in words.
    fn describe_needs(&self, class: &Class) -> String {
        let mut needs: Vec<String> = Encoder::ALL
            .iter()
            .filter(|e| class.encoders & (1 << **e as u32) != 0)
            .map(|e| format!("a working {}", e.name()))
            .collect();
        if class.gpu {
            needs.push("a GPU".into());
        }
        needs.extend(
            self.classes
                .describe_tags(class.tags)
                .into_iter()
                .map(|tag| format!("the label {tag}")),
        );
        needs.join(" and ")
    }
}

/// Whether a worker could ever run jobs of a class.
pub(super) fn meets(worker: &Worker, class: &Class) -> bool {
    worker.encoders & class.encoders == class.encoders
        && worker.tags & class.tags == class.tags
        && (!class.gpu || !worker.gpus.is_empty())
}
