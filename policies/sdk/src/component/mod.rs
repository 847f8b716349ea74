//! Makes a [`Policy`] a component: the contract's exports, the conversions at the border, and the one live instance.
//!
//! Compiled for wasm alone. `bindings.rs` is generated from `wit/` by `policies/build`.

#[allow(warnings, clippy::all, missing_docs)]
#[rustfmt::skip]
pub mod bindings;
mod convert;
pub mod rt;

use std::cell::RefCell;

use crate::{Instance, Policy};
use bindings::exports::ffrtmp::scheduler::policy as wit;
pub use bindings::exports::ffrtmp::scheduler::policy::Guest;
use bindings::ffrtmp::scheduler::host;

/// Writes a line to the master's log.
pub(crate) fn log(level: crate::Level, message: &str) {
    let level = match level {
        crate::Level::Debug => host::Level::Debug,
        crate::Level::Info => host::Level::Info,
        crate::Level::Warn => host::Level::Warn,
        crate::Level::Error => host::Level::Error,
    };
    host::log(level, message);
}

/// Sends panics' messages to the master's log, where the operator finds them beside the fault.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        host::log(host::Level::Error, &panic.to_string())
    }));
}

/// The exports for one policy type. Implemented by [`crate::export!`], which owns the instance's place.
pub trait Component: 'static {
    /// The policy.
    type Policy: Policy;
    /// Runs `f` on the place of the instance.
    fn with<R>(f: impl FnOnce(&RefCell<Option<Instance<Self::Policy>>>) -> R) -> R;
}

impl<C: Component> Guest for C {
    fn init(config: String) -> Result<wit::Info, String> {
        log_panics();
        let instance = Instance::new(&config)?;
        C::with(|place| place.replace(Some(instance)));
        Ok(C::Policy::info().into())
    }

    fn sync(reset: bool, seq: u64, changes: Vec<wit::Change>) {
        let changes: Vec<crate::Change> = changes.into_iter().map(Into::into).collect();
        running::<C, _>(|instance| instance.sync(reset, seq, &changes));
    }

    fn rank(jobs: Vec<wit::JobInfo>) -> Vec<wit::JobRank> {
        running::<C, _>(|instance| {
            jobs.into_iter()
                .map(|job| instance.rank_one(&job.into()).into())
                .collect()
        })
    }

    fn plan(ask: wit::Ask) -> wit::Answer {
        let ask = ask.into();
        running::<C, _>(|instance| instance.plan(&ask).into())
    }
}

fn running<C: Component, R>(f: impl FnOnce(&mut Instance<C::Policy>) -> R) -> R {
    C::with(|place| match place.borrow_mut().as_mut() {
        Some(instance) => f(instance),
        None => panic!("called before init"),
    })
}

/// Makes a component of the crate: `ffrtmp_policy_sdk::export!(MyPolicy);`, for a type that implements [`Policy`].
///
/// Build with `cargo rustc --crate-type cdylib --target wasm32-unknown-unknown`, then wrap the module with
/// `wasm-tools component new`.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        const _: () = {
            struct TheComponent;
            impl $crate::component::Component for TheComponent {
                type Policy = $policy;
                fn with<R>(
                    f: impl FnOnce(&::std::cell::RefCell<Option<$crate::Instance<$policy>>>) -> R,
                ) -> R {
                    ::std::thread_local! {
                        static INSTANCE: ::std::cell::RefCell<Option<$crate::Instance<$policy>>> =
                            const { ::std::cell::RefCell::new(None) };
                    }
                    INSTANCE.with(f)
                }
            }
            $crate::component::bindings::export!(TheComponent with_types_in $crate::component::bindings);
        };
    };
}
