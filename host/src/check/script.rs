//! A few dozen rounds of a made-up cluster's life, told to a policy as the master would, with the truth kept beside it.
//!
//! The same seed makes the same script as long as the policy answers the same, which is how the second run of it finds out
//! whether it does.

use ffrtmp_policy_sdk::{
    Answer, Ask, Change, Class, Cluster, JobInfo, JobOn, Rank, sample::Sample,
};

use super::{
    Examination, Finding, Item, Subject,
    answers::{Wrong, judge},
};
use crate::policy::instance::{Fault, Instance};

/// Clusters, each with so many workers and candidates a round: none, one, a few, many.
const CASES: [(u32, u32); 6] = [(0, 5), (1, 1), (3, 20), (12, 60), (60, 200), (200, 400)];
/// Rounds in each.
const ROUNDS: u32 = 12;
/// Jobs ranked in each.
const RANKED: usize = 40;
/// Between two rounds, milliseconds.
const ROUND_MS: i64 = 1_500;

/// Everything a policy said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    ranks: Vec<Vec<Rank>>,
    answers: Vec<Answer>,
}

/// Plays the script twice, and judges.
pub(super) fn look(subject: &Subject<'_>, found: &mut Examination) {
    let mut wrong = Wrong::default();
    let mut first = Transcript::default();
    let played = play(subject, &mut wrong, &mut first);
    match &played {
        Err((place, fault)) => {
            found.say(Item::Calls, Finding::Fail, format!("{place}: {fault}"));
        }
        Ok(()) => {
            let calls = CASES.len() as u32 * ROUNDS;
            let message = format!("{calls} rounds in {} clusters without a fault", CASES.len());
            found.say(Item::Calls, Finding::Pass, message);
        }
    }
    for (item, good) in [
        (Item::Candidates, "it names only candidates, each once"),
        (
            Item::Workers,
            "it places only on workers that are there and take work",
        ),
        (Item::Capacity, "it gives nobody more than is free"),
        (
            Item::Requirements,
            "it places only where encoders, labels and GPUs are",
        ),
        (Item::Words, "its reasons and holds make sense"),
        (Item::Progress, "it places jobs where there is room"),
        (
            Item::Ranks,
            "ranks do not depend on time, batching or order",
        ),
    ] {
        let (finding, message) = wrong.verdict(item, good);
        // What was not wrong before a fault may have been after it.
        if finding != Finding::Pass || played.is_ok() {
            found.say(item, finding, message);
        }
    }
    if played.is_err() {
        return;
    }
    let mut second = Transcript::default();
    let again = play(subject, &mut Wrong::default(), &mut second);
    let (finding, message) = match (again, difference(&first, &second)) {
        (Err((place, fault)), _) => (
            Finding::Fail,
            format!("the second time, on a fresh instance: {place}: {fault}"),
        ),
        (Ok(()), Some(what)) => (Finding::Fail, what),
        (Ok(()), None) => (
            Finding::Pass,
            "the same calls on a fresh instance give the same answers".into(),
        ),
    };
    found.say(Item::Determinism, finding, message);
}

fn difference(first: &Transcript, second: &Transcript) -> Option<String> {
    let ranks = first.ranks.iter().zip(&second.ranks);
    if let Some(at) = ranks.clone().position(|(a, b)| a != b) {
        return Some(format!(
            "batch {at} of jobs is ranked otherwise by a fresh instance asked the same"
        ));
    }
    let mut answers = first.answers.iter().zip(&second.answers);
    let at = answers.position(|(a, b)| a != b)?;
    let (case, round) = (at as u32 / ROUNDS, at as u32 % ROUNDS);
    Some(format!(
        "{} is answered otherwise by a fresh instance asked the same",
        place_of(CASES[case as usize], round)
    ))
}

fn place_of((workers, candidates): (u32, u32), round: u32) -> String {
    format!("{workers} workers, {candidates} candidates, round {round}")
}

/// Plays the whole script on a fresh instance for each cluster.
fn play(
    subject: &Subject<'_>,
    wrong: &mut Wrong,
    transcript: &mut Transcript,
) -> Result<(), (String, Fault)> {
    for (number, case) in CASES.into_iter().enumerate() {
        let mut instance = subject
            .fresh()
            .map_err(|fault| ("a fresh instance".to_owned(), fault))?;
        let seed = subject.seed.wrapping_mul(1_000).wrapping_add(number as u64);
        let mut life = Life::new(seed, case.0);
        life.play(subject, &mut instance, case, wrong, transcript)?;
    }
    Ok(())
}

/// A made-up cluster's life.
struct Life {
    sample: Sample,
    cluster: Cluster,
    /// What happened since the policy was last told.
    news: Vec<Change>,
    /// What runs there because the policy said so.
    on: Vec<JobOn>,
}

impl Life {
    fn new(seed: u64, workers: u32) -> Life {
        let mut sample = Sample::new(seed);
        let news = sample.snapshot(workers);
        let mut cluster = Cluster::default();
        news.iter().for_each(|change| cluster.apply(change));
        Life {
            sample,
            cluster,
            news,
            on: Vec::new(),
        }
    }

    fn play(
        &mut self,
        subject: &Subject<'_>,
        instance: &mut Instance,
        case: (u32, u32),
        wrong: &mut Wrong,
        transcript: &mut Transcript,
    ) -> Result<(), (String, Fault)> {
        let (mut placed, mut could) = (false, false);
        let jobs: Vec<JobInfo> = (0..RANKED).map(|_| self.sample.job()).collect();
        for round in 0..ROUNDS {
            let place = place_of(case, round);
            let fault = |fault: Fault| (place.clone(), fault);
            instance
                .sync(round == 0, std::mem::take(&mut self.news))
                .map_err(fault)?;
            let mut ask = self.sample.ask(case.1, &self.cluster);
            ask.now_ms += i64::from(round) * ROUND_MS;
            if round == 0 {
                let ranked = ranks(subject, instance, &jobs, &ask, wrong, &place);
                transcript.ranks.push(ranked.map_err(fault)?);
            }
            let answer = instance.plan(&ask).map_err(fault)?;
            could |= ask.candidates.iter().any(|c| {
                let class = &ask.classes[c.class as usize];
                let fits = |w: &_| Cluster::fits(w, class, &c.cost);
                !class.gpu && c.excluded.is_empty() && self.cluster.workers().iter().any(fits)
            });
            let reasons = subject.loaded.info.reasons.len();
            let on = judge(&ask, &answer, &mut self.cluster, reasons, &place, wrong);
            placed |= !on.is_empty() || !answer.holds.is_empty();
            self.news.extend(on.iter().copied().map(Change::JobStarted));
            self.on.extend(on);
            transcript.answers.push(answer);
            self.goes_on();
        }
        if could && !placed {
            let what = "there was room, and it placed nothing and held nothing in all rounds";
            wrong.note(
                Item::Progress,
                false,
                &place_of(case, ROUNDS - 1),
                what.into(),
            );
        }
        Ok(())
    }

    /// Jobs end, workers come and go.
    fn goes_on(&mut self) {
        let mut news = Vec::new();
        for _ in 0..self.on.len() / 3 {
            let at = self.sample.below(self.on.len() as u64) as usize;
            news.push(Change::JobEnded(self.on.swap_remove(at)));
        }
        for change in self.sample.changes(&self.cluster) {
            // What ran on a worker that is gone, or told of anew, is told of by that alone.
            if let Change::WorkerGone(id) = &change {
                self.on.retain(|on| on.worker != *id);
            }
            if let Change::WorkerUp(worker) = &change {
                self.on.retain(|on| on.worker != worker.id);
            }
            news.push(change);
        }
        // In this order, as each depends on the ones before it.
        news.iter().for_each(|change| self.cluster.apply(change));
        self.news.extend(news);
    }
}

/// Ranks the same jobs in several ways, and notes if it matters which.
fn ranks(
    subject: &Subject<'_>,
    instance: &mut Instance,
    jobs: &[JobInfo],
    ask: &Ask,
    wrong: &mut Wrong,
    place: &str,
) -> Result<Vec<Rank>, Fault> {
    let batch = instance.rank(jobs.to_vec())?;
    let mut differ = |how: &str, others: &[Rank]| {
        let mut pairs = jobs.iter().zip(batch.iter().zip(others));
        if let Some((job, (a, b))) = pairs.find(|(_, (a, b))| a != b) {
            let what = format!(
                "job {} has rank {} in group {}, and {how} rank {} in group {}",
                job.id, a.rank, a.group, b.rank, b.group
            );
            wrong.note(Item::Ranks, true, place, what);
        }
    };
    let mut backwards = instance.rank(jobs.iter().rev().cloned().collect())?;
    backwards.reverse();
    differ("asked in the other order", &backwards);
    let singly: Result<Vec<Vec<Rank>>, Fault> = jobs
        .iter()
        .map(|job| instance.rank(vec![job.clone()]))
        .collect();
    differ("asked alone", &singly?.concat());
    // A round in which nothing can be decided, two days later.
    instance.plan(&Ask {
        now_ms: ask.now_ms + 2 * 24 * 3_600_000,
        round: 0,
        classes: vec![Class::default()],
        ..Ask::default()
    })?;
    instance.sync(false, Vec::new())?;
    let later = instance.rank(jobs.to_vec())?;
    differ("asked two days later", &later);
    // Ranks outlive an instance, so they must not follow from what it has seen.
    let mut stranger = subject.fresh()?;
    stranger.sync(true, Vec::new())?;
    let mut strange = stranger.rank(jobs.iter().rev().cloned().collect())?;
    strange.reverse();
    differ("asked of a fresh instance in the other order", &strange);
    Ok(batch)
}
