//! From bytes to a component that was checked: every step that can refuse a policy, each saying what is wrong with it.
//!
//! Runs on the librarian's thread, never on the policy thread: compiling takes milliseconds to seconds. [`load`] and
//! [`compile`] do it in this process; the master has `compiler` do it in another.

use std::sync::Arc;

use ffrtmp_policy_sdk::{Ask, Info};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::engine::PolicyEngine;
use super::instance::{self, Fault, Instance, Prepared};
use super::language;
use super::limits::Limits;
use super::settings::Settings;

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
    /// What `NAME.toml` beside it says cannot be.
    #[error("has settings beside it that cannot be used: {0}")]
    Settings(String),
}

impl Refusal {
    /// Every word [`Refusal::stage`] gives.
    pub const STAGES: [&'static str; 10] = [
        "read", "settings", "validate", "compile", "link", "init", "sync", "rank", "plan", "answer",
    ];

    /// The stage, as a word for metrics.
    pub fn stage(&self) -> &'static str {
        match self {
            Refusal::Read(_) => "read",
            Refusal::Validate(_) => "validate",
            Refusal::Compile(_) => "compile",
            Refusal::Link(_) => "link",
            Refusal::Trial(fault) => fault.stage.as_str(),
            Refusal::Settings(_) => "settings",
        }
    }
}

/// A component that fits the contract: what does not depend on how its policy is set up.
#[derive(Clone)]
pub struct Compiled {
    /// SHA-256 of its bytes, 64 hex digits.
    pub digest: String,
    /// The language it was written in, where its toolchain says.
    pub language: Option<String>,
    prepared: Prepared,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
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
    /// The settings under which it passed.
    pub settings: Arc<Settings>,
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
    ffrtmp_api::text::hex(&Sha256::digest(bytes))
}

/// What people see of a digest.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Checks a policy's bytes from first to last without a configuration, and tries it: an instance, `init`, and one empty call
/// of each kind. The instance comes back too, ready to rule. Compiles in this process.
///
/// # Errors
/// At the first check it fails.
pub fn load(
    engine: &PolicyEngine,
    name: &str,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(Arc<Loaded>, Instance), Refusal> {
    load_with(engine, name, bytes, Settings::without_a_file(limits))
}

/// The same with the settings that stand beside the file.
///
/// # Errors
/// At the first check it fails, or when it refuses its configuration.
pub fn load_with(
    engine: &PolicyEngine,
    name: &str,
    bytes: &[u8],
    settings: Settings,
) -> Result<(Arc<Loaded>, Instance), Refusal> {
    let compiled = compile(engine, bytes)?;
    try_out(engine, name, &compiled, Arc::new(settings))
}

/// From bytes to a component that fits the contract, compiled in this process.
///
/// # Errors
/// At the first check it fails.
pub fn compile(engine: &PolicyEngine, bytes: &[u8]) -> Result<Compiled, Refusal> {
    check_header(bytes)?;
    let component = Component::new(engine.wasmtime(), bytes).map_err(|e| compile_error(&e))?;
    fit(engine, &component, bytes)
}

/// Machine code for a component, made in this process.
///
/// # Errors
/// When it is none, or does not compile.
pub(super) fn precompile(engine: &PolicyEngine, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    engine
        .wasmtime()
        .precompile_component(bytes)
        .map_err(|e| compile_error(&e))
}

/// A component from machine code that an engine like this one made of `bytes`; then whether it fits the contract.
///
/// # Errors
/// When it was made by another version of the engine, or for another machine.
pub(super) fn from_artefact(
    engine: &PolicyEngine,
    bytes: &[u8],
    artefact: &[u8],
) -> wasmtime::Result<Result<Compiled, Refusal>> {
    // SAFETY: machine code is run as it is, so it must come from wasmtime's own compiler. Both callers in `compiler` see to
    // that for these very bytes: either they were just made by this program (in a child of it, whose pipe nobody else
    // holds), or their digest is the one that was noted when they were made so.
    let component = unsafe { Component::deserialize(engine.wasmtime(), artefact) }?;
    Ok(fit(engine, &component, bytes))
}

/// Whether a component fits the contract.
fn fit(engine: &PolicyEngine, component: &Component, bytes: &[u8]) -> Result<Compiled, Refusal> {
    check_world(engine, component)?;
    let digest = digest(bytes);
    let prepared = engine
        .linker()
        .instantiate_pre(component)
        .and_then(|pre| instance::prepare(pre, short(&digest)))
        .map_err(|e| Refusal::Link(format!("{e:#}")))?;
    Ok(Compiled {
        digest,
        language: language::of(bytes),
        prepared,
    })
}

/// Tries a compiled policy with its settings: an instance, `init`, and one empty call of each kind. The instance comes back
/// too, ready to rule.
///
/// # Errors
/// When it fails in any of them, or refuses its configuration.
pub fn try_out(
    engine: &PolicyEngine,
    name: &str,
    compiled: &Compiled,
    settings: Arc<Settings>,
) -> Result<(Arc<Loaded>, Instance), Refusal> {
    let (config, limits) = (&settings.config, &settings.limits);
    let (mut instance, info) =
        Instance::new(engine, &compiled.prepared, name, config, limits).map_err(Refusal::Trial)?;
    trial(&mut instance).map_err(Refusal::Trial)?;
    let loaded = Loaded {
        name: name.to_owned(),
        digest: compiled.digest.clone(),
        info,
        language: compiled.language.clone(),
        settings,
        prepared: compiled.prepared.clone(),
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

/// Whether it begins as a component does.
pub(super) fn check_header(bytes: &[u8]) -> Result<(), Refusal> {
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

/// At which stage it failed.
pub(super) fn compile_error(error: &wasmtime::Error) -> Refusal {
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
