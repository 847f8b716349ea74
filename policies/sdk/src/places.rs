//! Finds the best of many places for a job, fast: the one loop of a placement policy that is worth engineering.
//!
//! A plan may weigh a thousand candidates against ten thousand workers within 10 ms. Three things make that cheap: the
//! columns a job is compared with lie in blocks of 64, so that the compiler turns the comparison into vector
//! instructions; each block knows a bound on its best score, so that most blocks are never read; and a requirement that
//! fitted nowhere is remembered, because capacity only shrinks during a plan. Between plans only workers that changed are
//! written again. Ties go to the lowest worker id and GPU index: the answer never depends on how the search went.

use crate::{Ask, Candidate, Cluster, Gpu, Resources, Worker, WorkerId};

/// Rows in a block: 64 scores are a handful of vector registers, and 1,000 workers are 16 blocks.
const LANES: usize = 64;
/// A whole worker, or a whole GPU, in points of score.
pub const WHOLE: i32 = 1_000_000;
/// Fixed-point bits of a share: `WHOLE << 8` still fits an `i32`.
const SHARE_BITS: u32 = 8;
/// The score of a row where nothing fits.
const CLOSED: i32 = i32::MIN;
/// Requirements remembered as fitting nowhere. More than a cluster's worth of presets.
const HOPELESS_MAX: usize = 64;

/// What a place's score means once a job is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// The given score less the job's share of the place (its CPU, memory, slots or sessions, whichever is most, of
    /// [`WHOLE`]): what would be left, if the score says what is free.
    AfterPlacing,
    /// The given score.
    AsGiven,
}

/// How good a worker is for a job that needs no GPU (`None`), or one of its GPUs for one that does, before the job is
/// there. Larger is better. Within a thousand times [`WHOLE`].
pub type ScoreOf = fn(&Worker, Option<&Gpu>) -> i32;

/// Where a job could go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The worker.
    pub worker: WorkerId,
    /// Its GPU, for a class that needs one.
    pub gpu: Option<u32>,
    /// Its score.
    pub score: i32,
}

/// Every place of a cluster, ready to be searched.
#[derive(Debug, Clone)]
pub struct Places {
    scoring: Scoring,
    score_of: ScoreOf,
    /// Row `i` is `cluster.workers()[i]`.
    hosts: Table,
    /// A row for each GPU; worker `i`'s begin at `gpus_from[i]`.
    gpus: Table,
    gpus_from: Vec<u32>,
    /// Up to where the cluster's list of changes has been applied.
    seen: u64,
    closed: Vec<WorkerId>,
    hopeless: Vec<(u32, Resources)>,
}

impl Places {
    /// None yet: [`Places::update`] fills it.
    pub fn new(scoring: Scoring, score_of: ScoreOf) -> Self {
        Places {
            scoring,
            score_of,
            hosts: Table::default(),
            gpus: Table::default(),
            gpus_from: Vec::new(),
            seen: 0,
            closed: Vec::new(),
            hopeless: Vec::new(),
        }
    }

    /// Brings the places up to date with the cluster. Call it first in every plan.
    pub fn update(&mut self, cluster: &Cluster) {
        self.hopeless.clear();
        let (changed, seen) = match cluster.changed_since(self.seen) {
            Some((changed, seen)) if !self.gpus_from.is_empty() => (changed, seen),
            _ => return self.fill(cluster),
        };
        self.seen = seen;
        for worker in std::mem::take(&mut self.closed).iter().chain(changed) {
            self.rewrite(cluster, *worker);
        }
    }

    /// The best place for a candidate, if it fits anywhere it may go.
    pub fn best(&mut self, ask: &Ask, candidate: &Candidate) -> Option<Place> {
        let cost = candidate.cost;
        if self
            .hopeless
            .iter()
            .any(|(class, least)| *class == candidate.class && covers(&cost, least))
        {
            return None;
        }
        let class = ask.classes.get(candidate.class as usize)?;
        let need = Need {
            cpu: clamp(cost.cpu_millicores),
            memory: clamp(cost.memory_mib),
            sessions: clamp(cost.gpu_sessions),
            gpu_memory: clamp(cost.gpu_memory_mib),
            encoders: class.encoders,
            tags: [class.tags as u32, (class.tags >> 32) as u32],
            shares: self.scoring == Scoring::AfterPlacing,
        };
        let table = if class.gpu {
            &mut self.gpus
        } else {
            &mut self.hosts
        };
        let mut found = table.best(&need);
        if found.is_none() && self.hopeless.len() < HOPELESS_MAX {
            self.hopeless.push((candidate.class, cost));
        }
        // Exclusions are few and rare: look again without the excluded row rather than test every row for them.
        let mut hidden = Vec::new();
        while let Some((row, _)) = found
            && candidate.excluded.contains(&table.places[row].0)
        {
            hidden.push((row, table.hide(row)));
            found = table.best(&need);
        }
        for (row, score) in hidden.into_iter().rev() {
            table.unhide(row, score);
        }
        found.map(|(row, score)| Place {
            worker: table.places[row].0,
            gpu: table.places[row].1,
            score,
        })
    }

    /// Places the candidate there, in the cluster and here.
    pub fn take(&mut self, cluster: &mut Cluster, candidate: &Candidate, place: Place) {
        cluster.place(candidate, place.worker, place.gpu);
        self.rewrite(cluster, place.worker);
    }

    /// Lets nothing more go to a worker until the next [`Places::update`].
    pub fn close(&mut self, cluster: &Cluster, worker: WorkerId) {
        self.closed.push(worker);
        let Some(i) = cluster.index_of(worker) else {
            return;
        };
        self.hosts.close(i);
        for row in self.gpu_rows(i) {
            self.gpus.close(row);
        }
    }

    fn fill(&mut self, cluster: &Cluster) {
        self.seen = cluster.changes_seen();
        self.closed.clear();
        self.hosts.clear();
        self.gpus.clear();
        self.gpus_from.clear();
        for worker in cluster.workers() {
            self.gpus_from.push(self.gpus.places.len() as u32);
            self.hosts.push(
                (worker.id, None),
                &Row::host(worker, (self.score_of)(worker, None)),
            );
            for (i, gpu) in worker.gpus.iter().enumerate() {
                let row = Row::gpu(worker, gpu, (self.score_of)(worker, Some(gpu)));
                self.gpus.push((worker.id, Some(i as u32)), &row);
            }
        }
        self.gpus_from.push(self.gpus.places.len() as u32);
        self.hosts.bound();
        self.gpus.bound();
    }

    fn rewrite(&mut self, cluster: &Cluster, id: WorkerId) {
        let Some(i) = cluster.index_of(id) else {
            return;
        };
        let worker = &cluster.workers()[i];
        if self.closed.contains(&id) {
            return;
        }
        self.hosts
            .write(i, &Row::host(worker, (self.score_of)(worker, None)));
        for (row, gpu) in self.gpu_rows(i).zip(&worker.gpus) {
            self.gpus.write(
                row,
                &Row::gpu(worker, gpu, (self.score_of)(worker, Some(gpu))),
            );
        }
    }

    fn gpu_rows(&self, worker: usize) -> std::ops::Range<usize> {
        self.gpus_from[worker] as usize..self.gpus_from[worker + 1] as usize
    }
}

/// Whether whatever has no room for `least` has none for `cost`.
fn covers(cost: &Resources, least: &Resources) -> bool {
    cost.cpu_millicores >= least.cpu_millicores
        && cost.memory_mib >= least.memory_mib
        && cost.gpu_sessions >= least.gpu_sessions
        && cost.gpu_memory_mib >= least.gpu_memory_mib
}

fn clamp(amount: u32) -> i32 {
    amount.min(i32::MAX as u32) as i32
}

/// What one unit takes of a whole, in fixed point.
fn share_of_one(whole: u32) -> i32 {
    ((WHOLE as i64) << SHARE_BITS)
        .checked_div(whole as i64)
        .unwrap_or(0) as i32
}

/// A candidate's needs, in the columns' types.
struct Need {
    cpu: i32,
    memory: i32,
    sessions: i32,
    gpu_memory: i32,
    encoders: u32,
    tags: [u32; 2],
    shares: bool,
}

/// One place, before it is spread over the columns.
struct Row {
    score: i32,
    cpu: i32,
    memory: i32,
    sessions: i32,
    gpu_memory: i32,
    encoders: u32,
    tags: [u32; 2],
    slot_share: i32,
    cpu_share: i32,
    memory_share: i32,
    session_share: i32,
}

impl Row {
    /// A worker as a place for jobs that need no GPU.
    fn host(worker: &Worker, score: i32) -> Row {
        Row {
            slot_share: share_of_one(worker.slots) >> SHARE_BITS,
            cpu_share: share_of_one(worker.capacity.cpu_millicores),
            memory_share: share_of_one(worker.capacity.memory_mib),
            ..Row::of(worker, score)
        }
    }

    /// A GPU as a place. What counts as its share is its sessions.
    fn gpu(worker: &Worker, gpu: &Gpu, score: i32) -> Row {
        Row {
            sessions: clamp(gpu.sessions_max.saturating_sub(gpu.sessions_used)),
            gpu_memory: clamp(gpu.memory_mib.saturating_sub(gpu.memory_reserved_mib)),
            session_share: share_of_one(gpu.sessions_max),
            ..Row::of(worker, score)
        }
    }

    fn of(worker: &Worker, score: i32) -> Row {
        let open = worker.accepting && worker.slots_used < worker.slots;
        // A full or closed worker has less than no CPU free, so that not even a job that needs none fits.
        let cpu = clamp(
            worker
                .capacity
                .cpu_millicores
                .saturating_sub(worker.reserved.cpu_millicores),
        );
        Row {
            // Far from the ends, so that subtracting a share cannot wrap.
            score: if open {
                score.clamp(-1_000 * WHOLE, 1_000 * WHOLE)
            } else {
                CLOSED
            },
            cpu: if open { cpu } else { -1 },
            memory: clamp(
                worker
                    .capacity
                    .memory_mib
                    .saturating_sub(worker.reserved.memory_mib),
            ),
            sessions: i32::MAX,
            gpu_memory: i32::MAX,
            encoders: worker.encoders,
            tags: [worker.tags as u32, (worker.tags >> 32) as u32],
            slot_share: 0,
            cpu_share: 0,
            memory_share: 0,
            session_share: 0,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Table {
    places: Vec<(WorkerId, Option<u32>)>,
    blocks: Vec<Block>,
}

impl Table {
    fn clear(&mut self) {
        self.places.clear();
        self.blocks.clear();
    }

    fn push(&mut self, place: (WorkerId, Option<u32>), row: &Row) {
        let i = self.places.len();
        if i.is_multiple_of(LANES) {
            self.blocks.push(Block::empty());
        }
        self.places.push(place);
        self.blocks[i / LANES].set(i % LANES, row);
    }

    fn bound(&mut self) {
        self.blocks.iter_mut().for_each(Block::bound);
    }

    fn write(&mut self, i: usize, row: &Row) {
        let block = &mut self.blocks[i / LANES];
        block.set(i % LANES, row);
        block.bound();
    }

    fn close(&mut self, i: usize) {
        let block = &mut self.blocks[i / LANES];
        block.score[i % LANES] = CLOSED;
        block.cpu[i % LANES] = -1;
        block.bound();
    }

    /// Takes a row out of the search, leaving bounds as they are: they only need to be bounds.
    fn hide(&mut self, i: usize) -> i32 {
        std::mem::replace(&mut self.blocks[i / LANES].cpu[i % LANES], -1)
    }

    fn unhide(&mut self, i: usize, cpu: i32) {
        self.blocks[i / LANES].cpu[i % LANES] = cpu;
    }

    /// The row of the best score that fits; the lowest of equals.
    fn best(&self, need: &Need) -> Option<(usize, i32)> {
        // Begin where the best probably is, so that most other blocks' bounds are below it.
        let first = (0..self.blocks.len())
            .max_by_key(|b| (self.blocks[*b].most(need), std::cmp::Reverse(*b)))?;
        let mut best = self.blocks[first]
            .best(need)
            .map(|(lane, score)| (first * LANES + lane, score));
        for (b, block) in self.blocks.iter().enumerate() {
            let most = block.most(need);
            let hopeless = match best {
                Some((row, score)) => most < score || (most == score && b > row / LANES),
                None => most == CLOSED,
            };
            if hopeless || b == first {
                continue;
            }
            if let Some((lane, score)) = block.best(need) {
                let row = b * LANES + lane;
                if best.is_none_or(|(r, s)| score > s || (score == s && row < r)) {
                    best = Some((row, score));
                }
            }
        }
        best
    }
}

/// 64 rows, by column.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Block {
    score: [i32; LANES],
    cpu: [i32; LANES],
    memory: [i32; LANES],
    sessions: [i32; LANES],
    gpu_memory: [i32; LANES],
    encoders: [u32; LANES],
    tags: [[u32; LANES]; 2],
    slot_share: [i32; LANES],
    cpu_share: [i32; LANES],
    memory_share: [i32; LANES],
    session_share: [i32; LANES],
    /// The best score here, before shares.
    top: i32,
    /// The least shares here, in the columns' order.
    least: [i32; 4],
}

impl Block {
    fn empty() -> Block {
        Block {
            score: [CLOSED; LANES],
            cpu: [-1; LANES],
            memory: [0; LANES],
            sessions: [0; LANES],
            gpu_memory: [0; LANES],
            encoders: [0; LANES],
            tags: [[0; LANES]; 2],
            slot_share: [i32::MAX; LANES],
            cpu_share: [i32::MAX; LANES],
            memory_share: [i32::MAX; LANES],
            session_share: [i32::MAX; LANES],
            top: CLOSED,
            least: [0; 4],
        }
    }

    fn set(&mut self, lane: usize, row: &Row) {
        self.score[lane] = row.score;
        self.cpu[lane] = row.cpu;
        self.memory[lane] = row.memory;
        self.sessions[lane] = row.sessions;
        self.gpu_memory[lane] = row.gpu_memory;
        self.encoders[lane] = row.encoders;
        self.tags[0][lane] = row.tags[0];
        self.tags[1][lane] = row.tags[1];
        self.slot_share[lane] = row.slot_share;
        self.cpu_share[lane] = row.cpu_share;
        self.memory_share[lane] = row.memory_share;
        self.session_share[lane] = row.session_share;
    }

    fn bound(&mut self) {
        let least = |column: &[i32; LANES]| column.iter().copied().fold(i32::MAX, i32::min);
        self.top = self.score.iter().copied().fold(CLOSED, i32::max);
        self.least = [
            least(&self.slot_share),
            least(&self.cpu_share),
            least(&self.memory_share),
            least(&self.session_share),
        ];
    }

    /// No row here can score more.
    fn most(&self, need: &Need) -> i32 {
        if !need.shares || self.top == CLOSED {
            return self.top;
        }
        let [slot, cpu, memory, session] = self.least;
        self.top
            .saturating_sub(share(need, slot, cpu, memory, session))
    }

    /// The lane of the best score that fits; the lowest of equals. Written so that it vectorises: no branch, no early end.
    fn best(&self, need: &Need) -> Option<(usize, i32)> {
        let mut scores = [CLOSED; LANES];
        for (i, out) in scores.iter_mut().enumerate() {
            let fits = (self.cpu[i] >= need.cpu)
                & (self.memory[i] >= need.memory)
                & (self.sessions[i] >= need.sessions)
                & (self.gpu_memory[i] >= need.gpu_memory)
                & (self.encoders[i] & need.encoders == need.encoders)
                & (self.tags[0][i] & need.tags[0] == need.tags[0])
                & (self.tags[1][i] & need.tags[1] == need.tags[1]);
            let share = share(
                need,
                self.slot_share[i],
                self.cpu_share[i],
                self.memory_share[i],
                self.session_share[i],
            );
            let score = if need.shares {
                self.score[i].wrapping_sub(share)
            } else {
                self.score[i]
            };
            *out = if fits { score } else { CLOSED };
        }
        let best = scores.iter().copied().fold(CLOSED, i32::max);
        if best == CLOSED {
            return None;
        }
        scores
            .iter()
            .position(|score| *score == best)
            .map(|lane| (lane, best))
    }
}

/// The job's share of the place: the largest of its shares. Cannot overflow where the job fits (a share is then at most
/// `WHOLE << SHARE_BITS`); elsewhere the result is not used.
#[inline(always)]
fn share(need: &Need, slot: i32, cpu: i32, memory: i32, session: i32) -> i32 {
    slot.max(need.cpu.wrapping_mul(cpu) >> SHARE_BITS)
        .max(need.memory.wrapping_mul(memory) >> SHARE_BITS)
        .max(need.sessions.wrapping_mul(session) >> SHARE_BITS)
}
