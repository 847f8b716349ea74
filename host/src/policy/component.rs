//! From bytes to a component that was checked: every step that can refuse a policy, each saying what is wrong with it.
//!
//! Runs on the librarian's thread, never on the policy thread: compiling takes milliseconds to seconds. It is the seam at
//! which compiling will move into a process of its own.

use std::sync::Arc;

use ffrtmp_policy_sdk::{Ask, Info};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::engine::PolicyEngine;
use super::instance::{self, Fault, Instance, Prepared};
use super::language;
use super::limits::Limits;

/// The package and version of the contract this host speaks.
const PACKAGE: &str = "ffrtmp:scheduler/";
const VERSION: &str = "0.1.0";
/// All that a policy may import. The types interface holds no functions.
const ALLOWED_IMPORTS: [&str; 2] = [
    "ffrtmp:scheduler/host@0.1.0",
    "ffrtmp:scheduler/types@0.1.0",
];
const EXPORT: &str = "ffrtmp:scheduler/policy@0.1.0";

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It could not be read, or is not a file to read.
    #[error("cannot be read: {0}")]
    Read(String),
    /// It is not a component at all.
    #[error("is not a WebAssembly component: {0}")]
    Validate(String),
    /// It does not compile.
    #[error("does not compile: {0}")]
    Compile(String),
    /// It asks for, or offers, something else than the contract.
    #[error("does not fit the contract: {0}")]
    Link(String),
    /// It failed when it was tried.
    #[error("failed its trial in {0}")]
    Trial(Fault),
}

impl Refusal {
    /// Every word [`Refusal::stage`] gives.
    pub const STAGES: [&'static str; 9] = [
        "read", "validate", "compile", "link", "init", "sync", "rank", "plan", "answer",
    ];

    /// The stage, as a word for metrics.
    pub fn stage(&self) -> &'static str {
        match self {
            Refusal::Read(_) => "read",
            Refusal::Validate(_) => "validate",
            Refusal::Compile(_) => "compile",
            Refusal::Link(_) => "link",
            Refusal::Trial(fault) => fault.stage.as_str(),
        }
    }
}

/// A policy that passed every check.
pub struct Loaded {
    /// Its file's name without `.wasm`.
    pub name: String,
    /// SHA-256 of its bytes, 64 hex digits.
    pub digest: String,
    /// What it says of itself.
    pub info: Info,
    /// The language it was written in, where its toolchain says.
    pub language: Option<String>,
    pub(super) prepared: Prepared,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Loaded {
    /// A fresh instance, `init` called with that configuration.
    ///
    /// # Errors
    /// When it cannot be made, fails, or refuses its configuration.
    pub fn instantiate(
        &self,
        engine: &PolicyEngine,
        config: &str,
        limits: &Limits,
    ) -> Result<Instance, Fault> {
        Instance::new(engine, &self.prepared, &self.name, config, limits)
            .map(|(instance, _)| instance)
    }
}

/// SHA-256 as 64 hex digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What people see of a digest.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Checks a policy's bytes from first to last, and tries it: an instance, `init`, and one empty call of each kind. The
/// instance comes back too, ready to rule.
///
/// # Errors
/// At the first check it fails.
pub fn load(
    engine: &PolicyEngine,
    name: &str,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(Arc<Loaded>, Instance), Refusal> {
    check_header(bytes)?;
    let digest = digest(bytes);
    let component = Component::new(engine.wasmtime(), bytes).map_err(|e| compile_error(&e))?;
    check_world(engine, &component)?;
    let prepared = engine
        .linker()
        .instantiate_pre(&component)
        .and_then(|pre| instance::prepare(pre, short(&digest)))
        .map_err(|e| Refusal::Link(format!("{e:#}")))?;
    let (mut instance, info) =
        Instance::new(engine, &prepared, name, "", limits).map_err(Refusal::Trial)?;
    trial(&mut instance).map_err(Refusal::Trial)?;
    let loaded = Loaded {
        name: name.to_owned(),
        digest,
        info,
        language: language::of(bytes),
        prepared,
    };
    Ok((Arc::new(loaded), instance))
}

/// Warms the instance up, and finds what fails at once.
fn trial(instance: &mut Instance) -> Result<(), Fault> {
    let init = instance.take_call_times();
    instance.sync(true, Vec::new())?;
    instance.rank(Vec::new())?;
    instance.plan(&Ask::default())?;
    // The trial's own calls are empty ones and would only blur the metrics.
    instance.set_call_times(init);
    Ok(())
}

fn check_header(bytes: &[u8]) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::Validate(why.to_owned()));
    match bytes {
        [] => refuse("the file is empty"),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            refuse("it is a core module; make a component of it with `wasm-tools component new`")
        }
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', ..] => {
            refuse("it is cut short, or of a version of WebAssembly unknown here")
        }
        _ => refuse("it does not begin as WebAssembly does"),
    }
}

fn compile_error(error: &wasmtime::Error) -> Refusal {
    let text = format!("{error:#}");
    // What the parser and validator say names an offset; what the compiler says does not.
    if text.contains("at offset") {
        Refusal::Validate(text)
    } else {
        Refusal::Compile(text)
    }
}

/// Names first, so that the message is about names: what is imported beyond the contract, and which version it was made for.
fn check_world(engine: &PolicyEngine, component: &Component) -> Result<(), Refusal> {
    let ty = component.component_type();
    let other_version = |name: &str| {
        name.strip_prefix(PACKAGE)
            .and_then(|rest| rest.split_once('@'))
            .filter(|(_, v)| *v != VERSION)
            .map(|(_, v)| {
                Refusal::Link(format!(
                    "it was made for version {v} of the contract; this master speaks {VERSION}"
                ))
            })
    };
    for (name, item) in ty.imports(engine.wasmtime()) {
        if let Some(refusal) = other_version(name) {
            return Err(refusal);
        }
        // Interfaces of types alone give a guest nothing, so toolchains may leave them.
        let only_types = match item.ty {
            ComponentItem::ComponentInstance(instance) => instance
                .exports(engine.wasmtime())
                .all(|(_, item)| matches!(item.ty, ComponentItem::Type(_))),
            _ => false,
        };
        if !ALLOWED_IMPORTS.contains(&name) && !only_types {
            return Err(Refusal::Link(format!(
                "it imports `{name}`; a policy may import `{}` and nothing else",
                ALLOWED_IMPORTS[0]
            )));
        }
    }
    let exports: Vec<&str> = ty
        .exports(engine.wasmtime())
        .map(|(name, _)| name)
        .collect();
    if exports.contains(&EXPORT) {
        return Ok(());
    }
    match exports.iter().find_map(|name| other_version(name)) {
        Some(refusal) => Err(refusal),
        None => Err(Refusal::Link(format!(
            "it does not export `{EXPORT}` (it exports {})",
            if exports.is_empty() {
                "nothing".into()
            } else {
                exports.join(", ")
            }
        ))),
    }
}
