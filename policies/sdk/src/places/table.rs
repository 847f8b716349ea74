//! The columns: places as a structure of arrays, searched block by block.
//!
//! Apart from the rest because it is written for the machine: nothing here knows of clusters, plans or policies.

use super::{NOWHERE, WHOLE};
use crate::{Class, Gpu, Resources, Worker, WorkerId};

/// Rows in a block: 64 scores are a handful of vector registers, and 1,000 workers are 16 blocks.
const LANES: usize = 64;
/// Fixed-point bits of a share: `WHOLE << 8` still fits an `i32`.
const SHARE_BITS: u32 = 8;
/// The score of a row where nothing fits.
const CLOSED: i32 = i32::MIN;

/// A candidate's needs, in the columns' types.
#[derive(Debug)]
pub(super) struct Need {
    cpu: i32,
    memory: i32,
    sessions: i32,
    gpu_memory: i32,
    encoders: u32,
    tags: [u32; 2],
    /// Whether its share counts against a place's score.
    shares: bool,
}

impl Need {
    pub(super) fn of(class: &Class, cost: &Resources, shares: bool) -> Need {
        Need {
            cpu: clamp(cost.cpu_millicores),
            memory: clamp(cost.memory_mib),
            sessions: clamp(cost.gpu_sessions),
            gpu_memory: clamp(cost.gpu_memory_mib),
            encoders: class.encoders,
            tags: halves(class.tags),
            shares,
        }
    }

    /// The job's share of a place: the largest of its shares. Cannot overflow where the job fits (a share is then at
    /// most `WHOLE << SHARE_BITS`); elsewhere the result is not used.
    #[inline(always)]
    fn share(&self, slot: i32, cpu: i32, memory: i32, session: i32) -> i32 {
        slot.max(self.cpu.wrapping_mul(cpu) >> SHARE_BITS)
            .max(self.memory.wrapping_mul(memory) >> SHARE_BITS)
            .max(self.sessions.wrapping_mul(session) >> SHARE_BITS)
    }
}

/// What is free at a place, and how good it is: what changes from job to job.
#[derive(Debug)]
pub(super) struct Free {
    score: i32,
    cpu: i32,
    memory: i32,
    sessions: i32,
    gpu_memory: i32,
    encoders: u32,
    tags: [u32; 2],
}

impl Free {
    /// A place for nobody. It has less than no CPU free, so that not even a job that needs none fits.
    pub(super) const NONE: Free = Free {
        score: CLOSED,
        cpu: -1,
        memory: 0,
        sessions: 0,
        gpu_memory: 0,
        encoders: 0,
        tags: [0, 0],
    };

    /// A worker as a place for jobs that need no GPU.
    pub(super) fn host(worker: &Worker, score: i32) -> Free {
        if !worker.accepting || worker.slots_used >= worker.slots || score == NOWHERE {
            return Free::NONE;
        }
        let (capacity, reserved) = (&worker.capacity, &worker.reserved);
        Free {
            // Far from the ends, so that subtracting a share cannot wrap.
            score: score.clamp(-1_000 * WHOLE, 1_000 * WHOLE),
            cpu: clamp(
                capacity
                    .cpu_millicores
                    .saturating_sub(reserved.cpu_millicores),
            ),
            memory: clamp(capacity.memory_mib.saturating_sub(reserved.memory_mib)),
            sessions: i32::MAX,
            gpu_memory: i32::MAX,
            encoders: worker.encoders,
            tags: halves(worker.tags),
        }
    }

    /// A GPU as a place.
    pub(super) fn gpu(worker: &Worker, gpu: &Gpu, score: i32) -> Free {
        let host = Free::host(worker, score);
        if host.score == CLOSED {
            return host;
        }
        Free {
            sessions: clamp(gpu.sessions_max.saturating_sub(gpu.sessions_used)),
            gpu_memory: clamp(gpu.memory_mib.saturating_sub(gpu.memory_reserved_mib)),
            ..host
        }
    }
}

/// How much of a place one unit of each thing is: what does not change while the cluster keeps its shape.
#[derive(Debug)]
pub(super) struct Shares {
    slot: i32,
    cpu: i32,
    memory: i32,
    session: i32,
}

impl Shares {
    /// Of a worker.
    pub(super) fn host(worker: &Worker) -> Shares {
        Shares {
            slot: share_of_one(worker.slots) >> SHARE_BITS,
            cpu: share_of_one(worker.capacity.cpu_millicores),
            memory: share_of_one(worker.capacity.memory_mib),
            session: 0,
        }
    }

    /// Of a GPU: its sessions are what counts.
    pub(super) fn gpu(gpu: &Gpu) -> Shares {
        Shares {
            slot: 0,
            cpu: 0,
            memory: 0,
            session: share_of_one(gpu.sessions_max),
        }
    }
}

fn clamp(amount: u32) -> i32 {
    amount.min(i32::MAX as u32) as i32
}

fn halves(tags: u64) -> [u32; 2] {
    [tags as u32, (tags >> 32) as u32]
}

/// What one unit takes of a whole, in fixed point.
fn share_of_one(whole: u32) -> i32 {
    ((WHOLE as i64) << SHARE_BITS)
        .checked_div(whole as i64)
        .unwrap_or(0) as i32
}

/// Places in columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    places: Vec<(WorkerId, Option<u32>)>,
    blocks: Vec<Block>,
    /// Of each block, no row scores more: the best score before shares, and the least shares.
    tops: Vec<i32>,
    least: [Vec<i32>; 4],
    /// Scratch of a search: each block's bound for the job at hand.
    bounds: Vec<i32>,
}

impl Table {
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.blocks.clear();
        self.tops.clear();
        self.least.iter_mut().for_each(Vec::clear);
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn place(&self, row: usize) -> (WorkerId, Option<u32>) {
        self.places[row]
    }

    /// Appends a row and gives its number.
    pub(super) fn push(
        &mut self,
        place: (WorkerId, Option<u32>),
        free: &Free,
        shares: Shares,
    ) -> usize {
        let row = self.places.len();
        let (b, lane) = (row / LANES, row % LANES);
        if lane == 0 {
            self.blocks.push(Block::empty());
            self.tops.push(CLOSED);
            self.least.iter_mut().for_each(|least| least.push(i32::MAX));
        }
        self.places.push(place);
        let block = &mut self.blocks[b];
        block.set(lane, free);
        let shares = [shares.slot, shares.cpu, shares.memory, shares.session];
        for ((column, least), share) in block.shares.iter_mut().zip(&mut self.least).zip(shares) {
            column[lane] = share;
            least[b] = least[b].min(share);
        }
        self.tops[b] = self.tops[b].max(free.score);
        row
    }

    /// Writes what is free at a row now.
    pub(super) fn write(&mut self, row: usize, free: &Free) {
        let (b, lane) = (row / LANES, row % LANES);
        let block = &mut self.blocks[b];
        let before = block.score[lane];
        block.set(lane, free);
        if free.score >= self.tops[b] {
            self.tops[b] = free.score;
        } else if before == self.tops[b] {
            self.tops[b] = most(&block.score);
        }
    }

    /// Takes a row out of the search, leaving bounds as they are: they only need to be bounds. Gives what undoes it.
    pub(super) fn hide(&mut self, row: usize) -> i32 {
        std::mem::replace(&mut self.blocks[row / LANES].cpu[row % LANES], -1)
    }

    /// Puts a row back.
    pub(super) fn unhide(&mut self, row: usize, cpu: i32) {
        self.blocks[row / LANES].cpu[row % LANES] = cpu;
    }

    /// The row of the best score that fits; the lowest of equals.
    pub(super) fn best(&mut self, need: &Need) -> Option<(usize, i32)> {
        let [slot, cpu, memory, session] = &self.least;
        self.bounds.clear();
        if need.shares {
            let least = slot.iter().zip(cpu).zip(memory).zip(session);
            self.bounds.extend(self.tops.iter().zip(least).map(
                |(top, (((slot, cpu), memory), session))| {
                    // A closed block stays closed: no share is less than 0.
                    if *top == CLOSED {
                        CLOSED
                    } else {
                        top.wrapping_sub(need.share(*slot, *cpu, *memory, *session))
                    }
                },
            ));
        } else {
            self.bounds.extend_from_slice(&self.tops);
        }
        // Begin where the best probably is, so that most other blocks' bounds are below it.
        let highest = self.bounds.iter().copied().fold(CLOSED, i32::max);
        let first = self.bounds.iter().position(|bound| *bound == highest)?;
        let mut best = self.blocks[first]
            .best(need)
            .map(|(lane, score)| (first * LANES + lane, score));
        for (b, bound) in self.bounds.iter().copied().enumerate() {
            let hopeless = match best {
                Some((row, score)) => bound < score || (bound == score && b > row / LANES),
                None => bound == CLOSED,
            };
            if hopeless || b == first {
                continue;
            }
            if let Some((lane, score)) = self.blocks[b].best(need) {
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
    /// Of a slot, a millicore, a MiB and a session.
    shares: [[i32; LANES]; 4],
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
            shares: [[0; LANES]; 4],
        }
    }

    fn set(&mut self, lane: usize, free: &Free) {
        self.score[lane] = free.score;
        self.cpu[lane] = free.cpu;
        self.memory[lane] = free.memory;
        self.sessions[lane] = free.sessions;
        self.gpu_memory[lane] = free.gpu_memory;
        self.encoders[lane] = free.encoders;
        self.tags[0][lane] = free.tags[0];
        self.tags[1][lane] = free.tags[1];
    }

    /// The lane of the best score that fits; the lowest of equals. Written so that it vectorises: every column is read for
    /// every row, and what does not count is masked away.
    fn best(&self, need: &Need) -> Option<(usize, i32)> {
        let mut scores = [CLOSED; LANES];
        let [slot, cpu, memory, session] = &self.shares;
        let counts = mask(need.shares);
        for (i, out) in scores.iter_mut().enumerate() {
            let fits = mask(self.cpu[i] >= need.cpu)
                & mask(self.memory[i] >= need.memory)
                & mask(self.sessions[i] >= need.sessions)
                & mask(self.gpu_memory[i] >= need.gpu_memory)
                & mask(self.encoders[i] & need.encoders == need.encoders)
                & mask(self.tags[0][i] & need.tags[0] == need.tags[0])
                & mask(self.tags[1][i] & need.tags[1] == need.tags[1]);
            let share = need.share(slot[i], cpu[i], memory[i], session[i]) & counts;
            *out = (self.score[i].wrapping_sub(share) & fits) | (CLOSED & !fits);
        }
        let best = most(&scores);
        if best == CLOSED {
            return None;
        }
        scores
            .iter()
            .position(|score| *score == best)
            .map(|lane| (lane, best))
    }
}

/// All bits, or none.
#[inline(always)]
fn mask(yes: bool) -> i32 {
    -i32::from(yes)
}

fn most(scores: &[i32; LANES]) -> i32 {
    scores.iter().copied().fold(CLOSED, i32::max)
}
