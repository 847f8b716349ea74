//! The contract's host side, generated from `wit/` at compile time.

#![allow(missing_docs, clippy::all)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "scheduling-policy",
});

pub use exports::ffrtmp::scheduler::policy as guest;
pub use ffrtmp::scheduler::{host, types};
