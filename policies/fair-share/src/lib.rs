//! `fair-share`: the next job is always one of whoever uses least of the cluster for its weight.
//!
//! Jobs are grouped by a label (`tenant`, unless configured otherwise). A group's use is its dominant share: of slots, CPU,
//! memory and GPU sessions the one of which its running jobs hold most. Divided by the group's weight, the smallest is
//! next, and its share grows as its job is placed. So groups that want more than there is converge to shares in proportion
//! to their weights, and what one does not want is the others'. Within a group the order is
//! [`ffrtmp_policy_sdk::ageing`]; where a job goes is [`ffrtmp_policy_sdk::most_room`].
//!
//! Lanes and priorities order a group's own jobs, never those of different groups: a tenant cannot gain by calling its
//! jobs urgent. Nothing is taken from a running job, so a share is reached as jobs end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ffrtmp_policy_sdk::{
    Amount, Answer, Ask, Candidate, Change, Cluster, GroupId, Info, JobInfo, MostRoom, Policy,
    Rank, Usage, ageing, config, most_room,
};
use serde::Deserialize;

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(FairShare);

/// Largest weight.
pub const WEIGHT_MAX: u32 = 1_000;
/// Most weights: as many groups as the master keeps apart.
pub const WEIGHTS_MAX: usize = 1_024;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// The label whose value is a job's group. Jobs without it are a group of their own.
    by: String,
    /// Weights by that label's value.
    weights: BTreeMap<String, u32>,
    /// The weight of everybody else.
    default_weight: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            by: "tenant".into(),
            weights: BTreeMap::new(),
            default_weight: 1,
        }
    }
}

/// The policy.
#[derive(Debug, Clone)]
pub struct FairShare {
    by: String,
    weights: BTreeMap<GroupId, u32>,
    default_weight: u32,
    usage: Usage,
    room: MostRoom,
}

/// The group of a label's value: a hash, because a group must follow from the job alone. Never 0, which stands for jobs that
/// were not ranked yet, nor the last number, which the master keeps for groups beyond its limit.
pub fn group_of(value: &str) -> GroupId {
    let hash = value.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.clamp(1, GroupId::MAX - 1)
}

impl FairShare {
    fn weight(&self, group: GroupId) -> u64 {
        u64::from(
            self.weights
                .get(&group)
                .copied()
                .unwrap_or(self.default_weight),
        )
    }

    /// How much a group has for its weight; comparable between groups.
    fn level(&self, group: GroupId, used: &Amount, whole: &Amount) -> u64 {
        used.dominant_ppm(whole).saturating_mul(1_000) / self.weight(group)
    }
}

impl Policy for FairShare {
    fn info() -> Info {
        Info {
            name: "fair-share".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: most_room::REASONS.map(Into::into).to_vec(),
        }
    }

    fn init(text: &str) -> Result<Self, String> {
        let config: Config = config::read(text)?;
        let known = config.weights.iter();
        let mut weights = known.map(|(value, weight)| (value.as_str(), *weight));
        let default = ("default_weight", config.default_weight);
        if let Some((name, weight)) = weights
            .by_ref()
            .chain([default])
            .find(|(_, weight)| !(1..=WEIGHT_MAX).contains(weight))
        {
            return Err(format!(
                "the weight {weight} of {name:?} is not from 1 to {WEIGHT_MAX}"
            ));
        }
        if config.weights.len() > WEIGHTS_MAX {
            return Err(format!(
                "there are {} weights; at most {WEIGHTS_MAX} groups are kept apart",
                config.weights.len()
            ));
        }
        if config.by.is_empty() {
            return Err("`by` is empty; it names the label to share by".into());
        }
        let mut by_group = BTreeMap::new();
        let mut names: BTreeMap<GroupId, &str> = BTreeMap::new();
        for (value, weight) in &config.weights {
            let group = group_of(value);
            by_group.insert(group, *weight);
            if let Some(other) = names.insert(group, value) {
                return Err(format!(
                    "{other:?} and {value:?} fall into one group; rename one of them"
                ));
            }
        }
        Ok(FairShare {
            by: config.by,
            weights: by_group,
            default_weight: config.default_weight,
            usage: Usage::default(),
            room: MostRoom::default(),
        })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        let value = job.labels.iter().find(|(key, _)| *key == self.by);
        Rank {
            rank: ageing::key(job),
            group: group_of(value.map_or("", |(_, value)| value)),
        }
    }

    fn observe(&mut self, change: &Change) {
        self.usage.observe(change);
    }

    fn reset(&mut self) {
        self.usage.clear();
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        self.room.begin(cluster, ask);
        let whole = Amount::whole(cluster);
        // Of each group, its candidates in order of rank, and what it uses with those placed so far.
        let mut groups: BTreeMap<GroupId, (VecDeque<&Candidate>, Amount)> = BTreeMap::new();
        for candidate in &ask.candidates {
            let used = || (VecDeque::new(), self.usage.of(candidate.group));
            let (waiting, _) = groups.entry(candidate.group).or_insert_with(used);
            waiting.push_back(candidate);
        }
        // The poorest first; of equally poor ones, whose next job is first by rank.
        let mut order: BTreeSet<(u64, i64, GroupId)> = groups
            .iter()
            .filter_map(|(group, (waiting, used))| {
                let next = waiting.front()?;
                Some((self.level(*group, used, &whole), next.rank, *group))
            })
            .collect();
        while let Some((_, _, group)) = order.pop_first() {
            let Some((waiting, used)) = groups.get_mut(&group) else {
                continue;
            };
            let Some(candidate) = waiting.pop_front() else {
                continue;
            };
            if self.room.place(cluster, ask, candidate, answer) {
                *used = used.plus(&candidate.cost);
            }
            if let Some(next) = waiting.front() {
                order.insert((self.level(group, used, &whole), next.rank, group));
            }
        }
    }
}
