//! Lists of jobs: which, in which order, from where, without ever sorting or reading without bound.
//!
//! Every list is made of *ranges*: stretches of an index that are in the wanted order already. Conditions that an index knows
//! (state, lane, urgency) choose the ranges; the rest is looked up row by row. A page ends when it is full, or when so many
//! rows were looked at that others would wait for it: then it says where to go on, and may even be empty.

use ffrtmp_api::{
    job::{JobState, Priority, Queue},
    rest::JobSort,
    text::hex,
};
use rusqlite::{Connection, Row, Rows, params_from_iter, types::Value};

use super::{StoreError, rows};
use crate::core::record::JobRow;

/// Most rows looked at for one page: a few hundred milliseconds at the very worst, with labels to compare in each.
const LOOKED_MAX: usize = 50_000;

/// Which jobs a list shows. Conditions are joined by *and*, the values of one by *or*.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// In one of these states; empty: in any.
    pub states: Vec<JobState>,
    /// In one of these lanes; empty: in any.
    pub queues: Vec<Queue>,
    /// Of one of these urgencies; empty: of any.
    pub priorities: Vec<Priority>,
    /// With all of these labels.
    pub labels: Vec<(String, String)>,
    /// Whose latest attempt is or was on this worker.
    pub node: Option<String>,
    /// Accepted at or after this time, milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Accepted before this time.
    pub until_ms: Option<i64>,
    /// In this order.
    pub sort: JobSort,
    /// Behind this one.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: usize,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobRow>,
    /// Where the next page starts; none on the last.
    pub next: Option<Cursor>,
    /// Rows looked at to make it.
    pub looked: usize,
}

/// A place in an order, behind which a page starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    sort: JobSort,
    key: Key,
}

/// What an order compares: a time or a lane, then the number. 0 where an order goes by number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    major: i64,
    seq: i64,
}

impl Cursor {
    /// As it is given to clients. They cannot make one, nor should they read one.
    pub fn to_text(self) -> String {
        let Key { major, seq } = self.key;
        let plain = format!("{} {major} {seq}", self.sort);
        hex(plain.as_bytes())
    }

    /// Back from a client, for a list in this order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, sort: JobSort) -> Result<Cursor, String> {
        let foreign = || {
            "it is not one that a list answered with; leave it out to begin at the first page"
                .to_owned()
        };
        let bytes: Option<Vec<u8>> = text
            .as_bytes()
            .chunks(2)
            .map(|pair| {
                let pair = std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?;
                u8::from_str_radix(pair, 16).ok()
            })
            .collect();
        let plain = bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(foreign)?;
        let mut parts = plain.splitn(3, ' ');
        let mut part = || parts.next().ok_or_else(foreign);
        let made_for: JobSort = part()?.parse().map_err(|_| foreign())?;
        let mut number = || part()?.parse::<i64>().map_err(|_| foreign());
        let key = Key {
            major: number()?,
            seq: number()?,
        };
        if made_for != sort {
            return Err(format!(
                "it belongs to a list with sort={made_for}, and this one has sort={sort}; go on with the same order"
            ));
        }
        Ok(Cursor { sort, key })
    }
}

/// A stretch of an index, in the order asked for.
struct Range {
    sql: String,
    values: Vec<Value>,
    /// What its rows have in common, where they have no major key of their own.
    major: i64,
}

/// One row of a range.
struct Found {
    key: Key,
    /// Whether it meets what the index does not know.
    meets: bool,
}

impl JobFilter {
    fn descending(&self) -> bool {
        !matches!(self.sort, JobSort::Oldest | JobSort::Urgency)
    }

    /// The ranges, in groups: those of a group are merged, the groups follow each other.
    fn groups(&self) -> Vec<Vec<Range>> {
        let states = or_all(&self.states, JobState::ALL);
        let queues = or_all(&self.queues, Queue::ALL);
        let priorities = or_all(&self.priorities, Priority::ALL);
        let lanes = queues
            .iter()
            .flat_map(|queue| priorities.iter().map(move |priority| (*queue, *priority)));
        match self.sort {
            JobSort::Finished => vec![vec![self.by_time("finished_ms", "jobs_by_finished")]],
            JobSort::Started => vec![vec![self.by_time("started_ms", "jobs_by_started")]],
            JobSort::Urgency => lanes
                .map(|lane| {
                    let major = lane.0 as i64 * Priority::ALL.len() as i64 + lane.1 as i64;
                    (major, lane)
                })
                .filter(|(major, _)| self.after.is_none_or(|after| *major >= after.key.major))
                .map(|(major, lane)| {
                    let in_state = |state: &JobState| self.by_lane(*state, lane, major);
                    states.iter().map(in_state).collect()
                })
                .collect(),
            JobSort::Newest | JobSort::Oldest => {
                let by_number_alone =
                    self.states.is_empty() && self.queues.is_empty() && self.priorities.is_empty();
                if by_number_alone {
                    return vec![vec![self.by_number()]];
                }
                let in_lane = |lane| {
                    states
                        .iter()
                        .map(move |state| self.by_lane(*state, lane, 0))
                };
                vec![lanes.flat_map(in_lane).collect()]
            }
        }
    }

    fn by_number(&self) -> Range {
        let mut values = Vec::new();
        let (meets, beyond) = (
            self.rest(&mut values, false),
            self.beyond_number(0, &mut values),
        );
        let sql = format!(
            "SELECT seq, NULL, {meets} FROM jobs WHERE {beyond} ORDER BY seq {}",
            self.direction()
        );
        Range {
            sql,
            values,
            major: 0,
        }
    }

    fn by_lane(&self, state: JobState, lane: (Queue, Priority), major: i64) -> Range {
        let mut values = Vec::new();
        let meets = self.rest(&mut values, false);
        let state = bind(&mut values, state.as_str());
        let queue = bind(&mut values, lane.0.as_str());
        let priority = bind(&mut values, lane.1.as_str());
        let beyond = self.beyond_number(major, &mut values);
        let sql = format!(
            "SELECT seq, NULL, {meets} FROM jobs INDEXED BY jobs_by_urgency \
             WHERE state = {state} AND queue = {queue} AND priority = {priority} AND {beyond} ORDER BY seq {}",
            self.direction()
        );
        Range { sql, values, major }
    }

    fn by_time(&self, column: &str, index: &str) -> Range {
        let mut values = Vec::new();
        let meets = self.rest(&mut values, true);
        let beyond = match self.after {
            Some(after) => {
                let major = bind(&mut values, after.key.major);
                let seq = bind(&mut values, after.key.seq);
                format!("({column}, seq) < ({major}, {seq})")
            }
            None => "TRUE".to_owned(),
        };
        let sql = format!(
            "SELECT seq, {column}, {meets} FROM jobs INDEXED BY {index} WHERE {column} IS NOT NULL AND {beyond} \
             ORDER BY {column} DESC, seq DESC"
        );
        Range {
            sql,
            values,
            major: 0,
        }
    }

    fn direction(&self) -> &'static str {
        if self.descending() { "DESC" } else { "ASC" }
    }

    /// The condition that a range starts behind the cursor, if that is within it.
    fn beyond_number(&self, major: i64, values: &mut Vec<Value>) -> String {
        match self.after.filter(|after| after.key.major == major) {
            Some(after) if self.descending() => format!("seq < {}", bind(values, after.key.seq)),
            Some(after) => format!("seq > {}", bind(values, after.key.seq)),
            None => "TRUE".to_owned(),
        }
    }

    /// What the range's index does not know, as an expression that is 0 or 1.
    fn rest(&self, values: &mut Vec<Value>, by_time: bool) -> String {
        let mut all = Vec::new();
        if by_time {
            let mut one_of = |column: &str, words: Vec<&'static str>| {
                if !words.is_empty() {
                    let words: Vec<String> =
                        words.into_iter().map(|word| bind(values, word)).collect();
                    all.push(format!("{column} IN ({})", words.join(", ")));
                }
            };
            one_of("state", self.states.iter().map(|s| s.as_str()).collect());
            one_of("queue", self.queues.iter().map(|q| q.as_str()).collect());
            one_of(
                "priority",
                self.priorities.iter().map(|p| p.as_str()).collect(),
            );
        }
        if let Some(node) = &self.node {
            all.push(format!("worker = {}", bind(values, node.clone())));
        }
        if let Some(since_ms) = self.since_ms {
            all.push(format!("submitted_ms >= {}", bind(values, since_ms)));
        }
        if let Some(until_ms) = self.until_ms {
            all.push(format!("submitted_ms < {}", bind(values, until_ms)));
        }
        for (key, value) in &self.labels {
            let (key, value) = (bind(values, key.clone()), bind(values, value.clone()));
            all.push(format!(
                "EXISTS (SELECT 1 FROM json_each(jobs.spec, '$.labels') AS label WHERE label.key = {key} AND label.value = {value})"
            ));
        }
        if all.is_empty() {
            "1".to_owned()
        } else {
            format!("COALESCE({}, 0)", all.join(" AND "))
        }
    }
}

/// Binds a value; answers with the parameter that stands for it.
fn bind(values: &mut Vec<Value>, value: impl IntoValue) -> String {
    values.push(value.into_value());
    format!("?{}", values.len())
}

/// What can be bound.
trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for i64 {
    fn into_value(self) -> Value {
        Value::Integer(self)
    }
}

impl IntoValue for &str {
    fn into_value(self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl IntoValue for String {
    fn into_value(self) -> Value {
        Value::Text(self)
    }
}

/// The values asked for in their own order, each once; all if none were.
fn or_all<T: Copy + Ord>(asked: &[T], all: &[T]) -> Vec<T> {
    let mut values = if asked.is_empty() { all } else { asked }.to_vec();
    values.sort_unstable();
    values.dedup();
    values
}

/// A page, read at one moment.
pub(super) fn page(connection: &Connection, filter: &JobFilter) -> Result<JobPage, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let mut walk = Walk {
        filter,
        chosen: Vec::new(),
        looked: 0,
        last: None,
        more: false,
    };
    for group in filter.groups() {
        if walk.through(&transaction, &group)? {
            break;
        }
    }
    let next = walk.last.filter(|_| walk.more).map(|key| Cursor {
        sort: filter.sort,
        key,
    });
    let mut jobs = Vec::with_capacity(walk.chosen.len());
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {} FROM jobs WHERE seq = ?1",
        rows::JOB_COLUMNS
    ))?;
    for seq in walk.chosen {
        let mut found = statement.query([seq])?;
        match found.next()?.map(rows::job) {
            Some(Ok(job)) => jobs.push(job),
            Some(Err(error)) => {
                tracing::error!(job = seq, %error, "a stored job cannot be read and is left out of a list");
            }
            None => {}
        }
    }
    Ok(JobPage {
        jobs,
        next,
        looked: walk.looked,
    })
}

/// A page in the making.
struct Walk<'f> {
    filter: &'f JobFilter,
    chosen: Vec<i64>,
    looked: usize,
    /// The last row that is done with.
    last: Option<Key>,
    /// Whether there may be more behind it.
    more: bool,
}

impl Walk<'_> {
    /// Goes through ranges in merged order. Says whether the page is done.
    fn through(&mut self, connection: &Connection, ranges: &[Range]) -> Result<bool, StoreError> {
        let mut statements = Vec::with_capacity(ranges.len());
        for range in ranges {
            statements.push(connection.prepare_cached(&range.sql)?);
        }
        let mut streams: Vec<(Rows<'_>, Found)> = Vec::with_capacity(ranges.len());
        let mut majors = Vec::with_capacity(ranges.len());
        for (statement, range) in statements.iter_mut().zip(ranges) {
            let mut rows = statement.query(params_from_iter(&range.values))?;
            if let Some(first) = rows.next()? {
                let first = found(first, range.major)?;
                streams.push((rows, first));
                majors.push(range.major);
            }
        }
        let descending = self.filter.descending();
        loop {
            let better = |a: &Key, b: &Key| {
                let order = a.cmp(b);
                if descending { order.reverse() } else { order }
            };
            let next = streams
                .iter()
                .enumerate()
                .min_by(|(_, (_, a)), (_, (_, b))| better(&a.key, &b.key));
            let Some((i, (_, head))) = next else {
                return Ok(false);
            };
            if head.meets && self.chosen.len() == self.filter.limit || self.looked == LOOKED_MAX {
                self.more = true;
                return Ok(true);
            }
            self.looked += 1;
            self.last = Some(head.key);
            if head.meets {
                self.chosen.push(head.key.seq);
            }
            let (rows, head) = &mut streams[i];
            match rows.next()? {
                Some(row) => *head = found(row, majors[i])?,
                None => {
                    drop(streams.swap_remove(i));
                    majors.swap_remove(i);
                }
            }
        }
    }
}

fn found(row: &Row<'_>, major: i64) -> Result<Found, StoreError> {
    let own: Option<i64> = row.get(1)?;
    let key = Key {
        major: own.unwrap_or(major),
        seq: row.get(0)?,
    };
    Ok(Found {
        key,
        meets: row.get(2)?,
    })
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::{
        ids::{AttemptNo, JobSeq},
        job::{FailureReason, JobSpec},
    };
    use uuid::Uuid;

    use super::*;
    use crate::{
        core::record::{JobStatus, Record},
        store::{Store, rows::apply},
    };

    /// A store with so many jobs of every kind, made from a seed.
    fn filled(seed: u64, jobs: i64) -> (tempfile::TempDir, Store, Vec<JobRow>) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let connection = store.connect_writer().unwrap();
        let transaction = connection.unchecked_transaction().unwrap();
        let mut all = Vec::new();
        for seq in 1..=jobs {
            let mut spec = JobSpec::default();
            for label in ["team", "show.name"] {
                if rng.bool() {
                    continue;
                }
                spec.labels
                    .insert(label.into(), format!("v{}", rng.u32(..3)));
            }
            let state = *rng.choice(JobState::ALL).unwrap();
            let started_ms = rng.bool().then(|| rng.i64(..50));
            let row = JobRow {
                seq: JobSeq(seq as u64),
                uuid: Uuid::from_u128(seq as u128),
                spec: serde_json::to_string(&spec).unwrap().into(),
                queue: *rng.choice(Queue::ALL).unwrap(),
                priority: *rng.choice(Priority::ALL).unwrap(),
                submitted_ms: seq / 3 + rng.i64(..5),
                idempotency_key: None,
                status: JobStatus {
                    state,
                    attempt: AttemptNo(1),
                    started_ms,
                    finished_ms: state.is_terminal().then(|| rng.i64(..50)),
                    worker: rng.bool().then(|| format!("w{}", rng.u32(..2))),
                    failure: rng.bool().then(|| ffrtmp_api::rest::Failure {
                        reason: FailureReason::Timeout,
                        message: "late".into(),
                    }),
                    ..JobStatus::default()
                },
            };
            apply(&transaction, &Record::JobAccepted(Box::new(row.clone()))).unwrap();
            let status = Box::new(row.status.clone());
            apply(
                &transaction,
                &Record::JobChanged {
                    seq: row.seq,
                    status,
                },
            )
            .unwrap();
            all.push(row);
        }
        transaction.commit().unwrap();
        (dir, store, all)
    }

    fn some_of<T: Copy>(rng: &mut fastrand::Rng, all: &[T]) -> Vec<T> {
        if rng.bool() {
            return Vec::new();
        }
        (0..rng.usize(1..4))
            .map(|_| *rng.choice(all).unwrap())
            .collect()
    }

    /// The same list, by comparing every job.
    fn expected(filter: &JobFilter, all: &[JobRow]) -> Vec<u64> {
        let mut jobs: Vec<&JobRow> = all
            .iter()
            .filter(|job| filter.states.is_empty() || filter.states.contains(&job.status.state))
            .filter(|job| filter.queues.is_empty() || filter.queues.contains(&job.queue))
            .filter(|job| filter.priorities.is_empty() || filter.priorities.contains(&job.priority))
            .filter(|job| filter.node.is_none() || job.status.worker == filter.node)
            .filter(|job| {
                filter
                    .since_ms
                    .is_none_or(|since| job.submitted_ms >= since)
            })
            .filter(|job| filter.until_ms.is_none_or(|until| job.submitted_ms < until))
            .filter(|job| {
                let spec: JobSpec = serde_json::from_str(&job.spec).unwrap();
                let has = |(key, value): &(String, String)| spec.labels.get(key) == Some(value);
                filter.labels.iter().all(has)
            })
            .filter(|job| match filter.sort {
                JobSort::Finished => job.status.finished_ms.is_some(),
                JobSort::Started => job.status.started_ms.is_some(),
                _ => true,
            })
            .collect();
        jobs.sort_by_key(|job| match filter.sort {
            JobSort::Newest => (0, 0, -(job.seq.0 as i64)),
            JobSort::Oldest => (0, 0, job.seq.0 as i64),
            JobSort::Finished => (-job.status.finished_ms.unwrap(), 0, -(job.seq.0 as i64)),
            JobSort::Started => (-job.status.started_ms.unwrap(), 0, -(job.seq.0 as i64)),
            JobSort::Urgency => (job.queue as i64, job.priority as i64, job.seq.0 as i64),
        });
        jobs.into_iter().map(|job| job.seq.0).collect()
    }

    #[test]
    fn every_list_in_every_order_over_pages_of_any_size_is_the_one_a_full_comparison_gives() {
        let (_dir, store, all) = filled(7, 400);
        let reader = store.reader();
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..300 {
            let mut filter = JobFilter {
                states: some_of(&mut rng, JobState::ALL),
                queues: some_of(&mut rng, Queue::ALL),
                priorities: some_of(&mut rng, Priority::ALL),
                labels: some_of(&mut rng, &[("team", "v1"), ("show.name", "v2")])
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
                node: (rng.u32(..4) == 0).then(|| "w1".to_owned()),
                since_ms: (rng.u32(..4) == 0).then(|| rng.i64(..150)),
                until_ms: (rng.u32(..4) == 0).then(|| rng.i64(..150)),
                sort: *rng.choice(JobSort::ALL).unwrap(),
                after: None,
                limit: rng.usize(1..60),
            };
            let expected = expected(&filter, &all);
            let mut listed = Vec::new();
            loop {
                let page = reader.jobs(&filter).unwrap();
                assert!(page.jobs.len() <= filter.limit);
                listed.extend(page.jobs.iter().map(|job| job.seq.0));
                let Some(next) = page.next else { break };
                let text = next.to_text();
                filter.after = Some(Cursor::parse(&text, filter.sort).unwrap());
            }
            assert_eq!(listed, expected, "round {round}: {filter:?}");
        }
    }

    #[test]
    fn no_list_is_sorted_by_the_store_or_scans_a_table_for_what_an_index_knows() {
        let (_dir, store, _) = filled(7, 10);
        let connection = store.connect_writer().unwrap();
        for sort in JobSort::ALL {
            for conditions in 0..8 {
                for after in [None, Some(Key { major: 0, seq: 5 })] {
                    let filter = JobFilter {
                        states: if conditions & 1 > 0 {
                            vec![JobState::Pending]
                        } else {
                            vec![]
                        },
                        queues: if conditions & 2 > 0 {
                            vec![Queue::Live]
                        } else {
                            vec![]
                        },
                        labels: if conditions & 4 > 0 {
                            vec![("a".into(), "b".into())]
                        } else {
                            vec![]
                        },
                        sort: *sort,
                        after: after.map(|key| Cursor { sort: *sort, key }),
                        limit: 5,
                        ..JobFilter::default()
                    };
                    for range in filter.groups().iter().flatten() {
                        let mut statement = connection
                            .prepare(&format!("EXPLAIN QUERY PLAN {}", range.sql))
                            .unwrap();
                        let plan: Vec<String> = statement
                            .query_map(params_from_iter(&range.values), |row| row.get(3))
                            .unwrap()
                            .map(Result::unwrap)
                            .collect();
                        let first = &plan[0];
                        assert!(
                            // Without a condition, the table is walked in its own order.
                            first.contains("USING") && first.contains("jobs_by_")
                                || first.contains("PRIMARY KEY")
                                || first == "SCAN jobs" && range.sql.contains("WHERE TRUE"),
                            "{sort}: {plan:?}\n{}",
                            range.sql
                        );
                        assert!(
                            !plan.iter().any(|step| step.contains("TEMP B-TREE")),
                            "{sort}: {plan:?}\n{}",
                            range.sql
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_page_looks_at_no_more_rows_than_it_must_and_never_at_too_many() {
        let (_dir, store, all) = filled(3, 60_000);
        let reader = store.reader();
        let wanted = JobFilter {
            states: vec![JobState::Running, JobState::Paused],
            priorities: vec![Priority::High],
            limit: 100,
            ..JobFilter::default()
        };
        let page = reader.jobs(&wanted).unwrap();
        assert_eq!((page.jobs.len(), page.looked), (100, 100));
        // A label that no job has: the page is empty, and says where to go on.
        let mut nothing = JobFilter {
            labels: vec![("no".into(), "such".into())],
            limit: 100,
            ..JobFilter::default()
        };
        let page = reader.jobs(&nothing).unwrap();
        assert_eq!((page.jobs.len(), page.looked), (0, LOOKED_MAX));
        nothing.after = page.next;
        let page = reader.jobs(&nothing).unwrap();
        assert_eq!(page.looked, all.len() - LOOKED_MAX);
        assert!(page.jobs.is_empty() && page.next.is_none());
    }

    #[test]
    fn a_cursor_of_another_order_or_a_made_up_one_is_refused_with_the_reason() {
        let cursor = Cursor {
            sort: JobSort::Finished,
            key: Key { major: -3, seq: 9 },
        };
        let text = cursor.to_text();
        assert_eq!(Cursor::parse(&text, JobSort::Finished), Ok(cursor));
        let why = Cursor::parse(&text, JobSort::Newest).unwrap_err();
        assert!(
            why.contains("sort=finished") && why.contains("sort=newest"),
            "{why}"
        );
        for bad in ["", "7", "zz", "é", "6e6577657374", "-1", "6e65776573742031"] {
            let why = Cursor::parse(bad, JobSort::Newest).unwrap_err();
            assert!(
                why.contains("not one that a list answered with"),
                "{bad:?}: {why}"
            );
        }
    }
}
