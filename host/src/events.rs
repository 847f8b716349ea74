//! What changed in the cluster lately, for `GET /v1/events`: one bounded ring that every stream reads at its own pace.
//!
//! While nobody listens, nothing is kept and the core makes no events. A short time after the last listener left the ring is
//! still fed, so that one whose connection broke can go on where it was. Nobody is waited for: a stream that falls behind the
//! ring is told to look at everything again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ffrtmp_api::{ids::JobSeq, rest::ClusterEvent};
use tokio::sync::watch;

/// Events kept: minutes of a busy farm. At most a few MiB.
const RING_MAX: usize = 10_000;
/// Streams at once. Each is a connection; monitors and follow commands are few.
pub const STREAMS_MAX: usize = 256;
/// How long the ring is fed after the last listener left: longer than a client takes to come back.
const LINGER: Duration = Duration::from_secs(60);
/// Events handed to a stream at a time.
const BATCH_MAX: usize = 256;

/// See the module's head.
#[derive(Debug)]
pub struct Events {
    /// Tells the events of one run of the master from those of another.
    run: u64,
    ring: Mutex<Ring>,
    wake: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Ring {
    told: VecDeque<Arc<Told>>,
    /// The number of the next event.
    next: u64,
    listeners: usize,
    /// When the last listener left, while the ring is still fed for it.
    left: Option<Instant>,
    closed: bool,
}

/// One event, written once for all streams.
#[derive(Debug)]
pub struct Told {
    no: u64,
    /// `job`, `node`, `policy` or `reset`.
    pub kind: &'static str,
    /// The job it is about, if it is about one.
    pub job: Option<JobSeq>,
    /// The tenant of that job, if it has one.
    pub tenant: Option<String>,
    /// As JSON.
    pub data: String,
}

/// What comes next on a stream.
#[derive(Debug)]
pub enum Next {
    /// These, in order.
    Events(Vec<Arc<Told>>),
    /// What came between is not known any more.
    Missed,
    /// Nothing will come: the master stops.
    Over,
}

/// So many streams are open that no further one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Events {
    /// Nobody listens yet. `run` must differ from that of every earlier run on the same port.
    pub fn new(run: u64) -> Events {
        Events {
            run,
            ring: Mutex::new(Ring {
                next: 1,
                ..Ring::default()
            }),
            wake: watch::channel(()).0,
        }
    }

    /// The number of this run of the master.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Whether anybody would hear of an event. Asked by whoever makes them, often.
    pub fn wanted(&self) -> bool {
        let mut ring = self.lock();
        if ring.left.is_some_and(|left| left.elapsed() > LINGER) {
            // What happens from now on is not numbered. One number is left out, so that nobody can go on across the gap.
            ring.left = None;
            ring.told.clear();
            ring.next += 1;
        }
        ring.fed()
    }

    /// Tells an event to whoever listens.
    pub fn tell(&self, event: &ClusterEvent) {
        if !self.lock().fed() {
            return;
        }
        let data = match serde_json::to_string(event) {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(%error, "an event cannot be written as JSON; listeners do not hear of it");
                return;
            }
        };
        let (kind, change) = match event {
            ClusterEvent::Job(change) => ("job", Some(change)),
            ClusterEvent::Node(_) => ("node", None),
            ClusterEvent::Policy(_) => ("policy", None),
            ClusterEvent::Reset => ("reset", None),
        };
        let mut ring = self.lock();
        if !ring.fed() {
            return;
        }
        let no = ring.next;
        ring.next += 1;
        ring.told.push_back(Arc::new(Told {
            no,
            kind,
            job: change.map(|change| change.id),
            tenant: change.and_then(|change| change.tenant.clone()),
            data,
        }));
        if ring.told.len() > RING_MAX {
            ring.told.pop_front();
        }
        drop(ring);
        self.wake.send_replace(());
    }

    /// Listens from now on, or from behind the event that a client names as its last. Says also whether what came after that
    /// one is not known any more.
    ///
    /// # Errors
    /// When too many do already.
    pub fn listen(self: &Arc<Self>, last: Option<&str>) -> Result<(Listener, bool), TooMany> {
        let mut ring = self.lock();
        if ring.listeners >= STREAMS_MAX {
            return Err(TooMany);
        }
        ring.listeners += 1;
        ring.left = None;
        let oldest = ring.told.front().map_or(ring.next, |told| told.no);
        let wanted = last.map(|last| {
            let (run, no) = last.split_once('-')?;
            let after = (u64::from_str_radix(run, 16).ok()? == self.run)
                .then(|| no.parse::<u64>().ok()?.checked_add(1))??;
            (oldest..=ring.next).contains(&after).then_some(after)
        });
        let missed = wanted == Some(None);
        let listener = Listener {
            next: wanted.flatten().unwrap_or(ring.next),
            wake: self.wake.subscribe(),
            events: self.clone(),
        };
        Ok((listener, missed))
    }

    /// Ends every stream.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn fed(&self) -> bool {
        self.listeners > 0 || self.left.is_some()
    }
}

/// One stream's place in the ring.
#[derive(Debug)]
pub struct Listener {
    events: Arc<Events>,
    /// The number of the next event it has not seen.
    next: u64,
    wake: watch::Receiver<()>,
}

impl Listener {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Next {
        loop {
            self.wake.mark_unchanged();
            if let Some(next) = self.look() {
                return next;
            }
            if self.wake.changed().await.is_err() {
                return Next::Over;
            }
        }
    }

    fn look(&mut self) -> Option<Next> {
        let ring = self.events.lock();
        if ring.closed {
            return Some(Next::Over);
        }
        let oldest = ring.told.front().map_or(ring.next, |told| told.no);
        if self.next < oldest {
            self.next = ring.next;
            return Some(Next::Missed);
        }
        let from = (self.next - oldest) as usize;
        let events: Vec<Arc<Told>> = ring
            .told
            .iter()
            .skip(from)
            .take(BATCH_MAX)
            .cloned()
            .collect();
        self.next += events.len() as u64;
        (!events.is_empty()).then_some(Next::Events(events))
    }

    /// The id of an event.
    pub fn id_of(&self, told: &Told) -> String {
        format!("{:x}-{}", self.events.run, told.no)
    }

    /// The id of the last event seen, to go on from.
    pub fn position(&self) -> String {
        format!("{:x}-{}", self.events.run, self.next - 1) // numbers begin with 1
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut ring = self.events.lock();
        ring.listeners -= 1;
        if ring.listeners == 0 {
            ring.left = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(listener: &mut Listener) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(Next::Events(events)) = listener.look() {
            numbers.extend(events.iter().map(|told| told.no));
        }
        numbers
    }

    #[test]
    fn nothing_is_kept_while_nobody_listens_and_everything_while_somebody_does() {
        let events = Arc::new(Events::new(7));
        assert!(!events.wanted());
        events.tell(&ClusterEvent::Reset);
        let (mut first, missed) = events.listen(None).unwrap();
        assert!(!missed && events.wanted());
        assert!(first.look().is_none(), "what was told before is not kept");
        for _ in 0..600 {
            events.tell(&ClusterEvent::Reset);
        }
        assert_eq!(seen(&mut first).len(), 600);
        // One that comes later hears what comes later.
        let (mut second, _) = events.listen(None).unwrap();
        events.tell(&ClusterEvent::Reset);
        assert_eq!((seen(&mut first).len(), seen(&mut second).len()), (1, 1));
    }

    #[test]
    fn a_listener_that_comes_back_goes_on_where_it_was_and_one_from_another_run_does_not() {
        let events = Arc::new(Events::new(0xab));
        let (mut listener, _) = events.listen(None).unwrap();
        for _ in 0..3 {
            events.tell(&ClusterEvent::Reset);
        }
        assert_eq!(seen(&mut listener), [1, 2, 3]);
        let position = listener.position();
        drop(listener);
        events.tell(&ClusterEvent::Reset); // while it is away
        let (mut again, missed) = events.listen(Some(&position)).unwrap();
        assert!(!missed);
        assert_eq!(seen(&mut again), [4]);
        for foreign in [
            "ac-2",
            "ab-99",
            "ab-",
            "",
            "-1",
            "nonsense",
            "ab-18446744073709551615",
        ] {
            let (mut listener, missed) = events.listen(Some(foreign)).unwrap();
            assert!(missed, "{foreign:?}");
            assert_eq!(seen(&mut listener), [0; 0], "{foreign:?}");
        }
    }

    #[test]
    fn one_that_falls_behind_the_ring_is_told_so_and_goes_on_with_what_is_new() {
        let events = Arc::new(Events::new(1));
        let (mut slow, _) = events.listen(None).unwrap();
        for _ in 0..=RING_MAX {
            events.tell(&ClusterEvent::Reset);
        }
        assert!(matches!(slow.look(), Some(Next::Missed)));
        assert!(slow.look().is_none());
        events.tell(&ClusterEvent::Reset);
        assert_eq!(seen(&mut slow), [RING_MAX as u64 + 2]);
        assert_eq!(events.lock().told.len(), RING_MAX);
    }

    #[test]
    fn there_are_only_so_many_streams_and_each_that_ends_makes_room() {
        let events = Arc::new(Events::new(1));
        let mut open: Vec<Listener> = (0..STREAMS_MAX)
            .map(|_| events.listen(None).unwrap().0)
            .collect();
        assert_eq!(events.listen(None).unwrap_err(), TooMany);
        open.pop();
        open.push(events.listen(None).unwrap().0);
        events.close();
        assert!(matches!(open[0].look(), Some(Next::Over)));
    }
}
