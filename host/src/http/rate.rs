//! How often one caller may ask: a bucket for each address and token, so that one broken script does not keep the others
//! from being answered. Refusals are 429 and say when to come again.
//!
//! Memory is bounded: buckets that are full again are forgotten, and when there are too many callers all the same, those
//! that are new share one.

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    state::keyed::HashMapStateStore,
};

use super::{App, error::ApiError, peer::Peer};

/// Requests a second from one caller, when nobody says otherwise. Far above what people and dashboards do; a batch carries
/// 10,000 jobs in one.
const PER_SECOND_DEFAULT: u32 = 2_000;
/// Seconds' worth of requests that may come at once.
const BURST_SECONDS: u32 = 2;
/// Callers remembered, at some 100 bytes each.
const CALLERS_MAX: usize = 16_384;
/// Shortest time between two looks for callers to forget.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The limit on requests.
#[derive(Debug)]
pub struct RateLimit {
    /// Replaced as a whole when another limit is set; whoever is counting goes on with the one it took.
    limits: RwLock<Arc<Limits>>,
    hasher: RandomState,
    swept: Mutex<Instant>,
}

/// One limit, and who has used how much of it.
#[derive(Debug)]
struct Limits {
    buckets: Option<Buckets>,
    /// Whether callers on this machine count too.
    loopback: bool,
}

type Buckets = RateLimiter<Caller, HashMapStateStore<Caller>, MonotonicClock>;

/// Who has a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Caller {
    /// An address (of IPv6 the network, which one caller has as a whole), and which token it showed, once that was found right.
    Known(IpAddr, Option<u64>),
    /// All those for whom there is no room.
    TooMany,
}

impl RateLimit {
    /// `per_second` requests a second from each caller, this machine's included; 0: no limit. When it is not said: 2,000, and
    /// no limit for this machine's, where a script is the operator's own.
    pub fn new(per_second: Option<u32>) -> RateLimit {
        RateLimit {
            limits: RwLock::new(Arc::new(Limits::new(per_second))),
            hasher: RandomState::new(),
            swept: Mutex::new(Instant::now()),
        }
    }

    /// Another limit from now on, as in [`RateLimit::new`]. Every caller begins with a full bucket.
    pub fn set(&self, per_second: Option<u32>) {
        let limits = Arc::new(Limits::new(per_second));
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Counts a request of a caller whose token, if any, was not (yet) found right.
    ///
    /// # Errors
    /// When it came too soon.
    pub fn count(&self, peer: Option<&Peer>) -> Result<(), ApiError> {
        self.count_with(peer, None)
    }

    /// Counts a request whose token was found right.
    fn count_with(&self, peer: Option<&Peer>, token: Option<u64>) -> Result<(), ApiError> {
        let limits = self.limits();
        let (Some(buckets), Some(peer)) = (&limits.buckets, peer) else {
            return Ok(());
        };
        let address = peer.address.ip().to_canonical();
        if address.is_loopback() && !limits.loopback {
            return Ok(());
        }
        let mut caller = Caller::Known(network(address), token);
        if buckets.len() >= CALLERS_MAX {
            self.sweep(buckets);
            if buckets.len() >= CALLERS_MAX {
                caller = Caller::TooMany;
            }
        }
        buckets.check_key(&caller).map_err(|until| {
            ApiError::too_many_requests(until.wait_time_from(MonotonicClock.now()))
        })
    }

    /// Forgets callers whose buckets are full. Looks at all of them, so not too often.
    fn sweep(&self, buckets: &Buckets) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP_INTERVAL {
            buckets.retain_recent();
            *swept = Instant::now();
        }
    }

    fn limits(&self) -> Arc<Limits> {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        limits.clone()
    }

    fn token(&self, headers: &HeaderMap) -> Option<u64> {
        let given = headers.get(header::AUTHORIZATION)?;
        Some(self.hasher.hash_one(given.as_bytes()))
    }
}

impl Limits {
    fn new(per_second: Option<u32>) -> Limits {
        let rate = NonZeroU32::new(per_second.unwrap_or(PER_SECOND_DEFAULT));
        Limits {
            buckets: rate.map(|rate| {
                let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
                RateLimiter::hashmap_with_clock(
                    Quota::per_second(rate).allow_burst(burst),
                    MonotonicClock,
                )
            }),
            loopback: per_second.is_some(),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Limits routes that need no token: by address.
pub async fn limit_open(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.rate.count(request.extensions().get()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Limits routes behind the token: by address and token. Inside of `auth`, so that a token that is counted is a right one.
pub async fn limit_guarded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let token = app.rate.token(request.headers());
    match app.rate.count_with(request.extensions().get(), token) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Limits how often a caller may show no token or a wrong one: by address. Outside of `auth`.
pub async fn limit_strangers(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get().copied();
    let answer = next.run(request).await;
    if answer.status() != StatusCode::UNAUTHORIZED {
        return answer;
    }
    match app.rate.count(peer.as_ref()) {
        Ok(()) => answer,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::plain(SocketAddr::new(address.parse().unwrap(), 1))
    }

    #[test]
    fn one_caller_s_flood_is_refused_and_another_caller_is_answered() {
        let rate = RateLimit::new(Some(10));
        let (loud, quiet) = (peer("10.0.0.1"), peer("10.0.0.2"));
        let accepted = (0..1_000)
            .filter(|_| rate.count(Some(&loud)).is_ok())
            .count();
        assert!((20..40).contains(&accepted), "{accepted}");
        assert!(rate.count(Some(&quiet)).is_ok());
        assert!(
            rate.count_with(Some(&loud), Some(7)).is_ok(),
            "a user behind the same address"
        );
    }

    #[test]
    fn a_limit_that_is_set_anew_holds_from_then_on() {
        let rate = RateLimit::new(Some(0));
        let caller = peer("10.0.0.1");
        let accepted = |rate: &RateLimit| {
            (0..100)
                .filter(|_| rate.count(Some(&caller)).is_ok())
                .count()
        };
        assert_eq!(accepted(&rate), 100);
        rate.set(Some(10));
        assert!((20..40).contains(&accepted(&rate)));
        rate.set(Some(0));
        assert_eq!(accepted(&rate), 100);
    }

    #[test]
    fn this_machine_is_limited_only_when_a_limit_was_asked_for_and_zero_is_none() {
        let (near, far) = (peer("::ffff:127.0.0.1"), peer("192.0.2.1"));
        let all =
            |rate: &RateLimit, peer: &Peer| (0..20_000).all(|_| rate.count(Some(peer)).is_ok());
        let unsaid = RateLimit::new(None);
        assert!(all(&unsaid, &near) && !all(&unsaid, &far));
        assert!(!all(&RateLimit::new(Some(5)), &near));
        assert!(all(&RateLimit::new(Some(0)), &far));
    }

    #[test]
    fn a_caller_who_changes_its_ipv6_address_within_its_network_stays_the_same_caller() {
        let rate = RateLimit::new(Some(1));
        let accepted = (0..1_000)
            .filter(|n| rate.count(Some(&peer(&format!("2001:db8::{n:x}")))).is_ok())
            .count();
        assert!(accepted < 10, "{accepted}");
    }

    #[test]
    fn a_flood_of_callers_takes_bounded_memory() {
        let rate = RateLimit::new(Some(1));
        for n in 0..3 * CALLERS_MAX as u32 {
            let _ = rate.count(Some(&Peer::plain(SocketAddr::new(
                std::net::Ipv4Addr::from(n + 0x0a00_0000).into(),
                1,
            ))));
        }
        let limits = rate.limits();
        let buckets = limits.buckets.as_ref().unwrap();
        assert!(buckets.len() <= CALLERS_MAX + 1, "{}", buckets.len());
    }
}
