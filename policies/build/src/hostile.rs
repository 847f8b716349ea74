//! Builds the hostile guests of `tests/hostile/`: policies that do one thing wrong each.
//!
//! A guest is a few lines of WAT in `tests/hostile/NAME.wat`: whichever of `$init`, `$sync`, `$rank`, `$plan` it defines
//! replaces the well-behaved one of [`GOOD`]. Guests of another world are made from their WIT alone.

use std::path::Path;

use anyhow::Context;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

use crate::bindings;

/// A policy that takes everything, ranks all alike and places nothing. Each part stands under the name it defines.
const GOOD: [(&str, &str); 5] = [
    (
        "$init",
        r#"(func $init (param i32 i32) (result i32) (i32.const 16))"#,
    ),
    (
        "$sync",
        r#"(func $sync (param i32 i64 i32 i32) (call $reset))"#,
    ),
    (
        "$rank",
        r#"(func $rank (param $jobs i32) (param $n i32) (result i32)
             (i32.store (i32.const 64) (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
               (i32.mul (local.get $n) (i32.const 16))))
             (memory.fill (i32.load (i32.const 64)) (i32.const 0) (i32.mul (local.get $n) (i32.const 16)))
             (i32.store (i32.const 68) (local.get $n))
             (i32.const 64))"#,
    ),
    (
        "$plan",
        r#"(func $plan (param i64 i64 i64 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 96))"#,
    ),
    ("$memory", r#"(memory $memory (export "memory") 2)"#),
];

/// What every guest needs: the contract's names, and an allocator that forgets everything after each call.
/// Bytes 16 to 63 are init's answer (ok, no name, no version, no reasons), 64 rank's, 96 plan's.
const FRAME: &str = r#"
  (import "ffrtmp:scheduler/host@0.1.0" "log" (func $log (param i32 i32 i32)))
  (global $top (mut i32) (i32.const 1024))
  (func $reset (global.set $top (i32.const 1024)))
  (func $realloc (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
      (then (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1))))))
    (local.get $at))
  (func (export "cabi_post_ffrtmp:scheduler/policy@0.1.0#init") (param i32) (call $reset))
  (func (export "cabi_post_ffrtmp:scheduler/policy@0.1.0#rank") (param i32) (call $reset))
  (func (export "cabi_post_ffrtmp:scheduler/policy@0.1.0#plan") (param i32) (call $reset))
  (export "ffrtmp:scheduler/policy@0.1.0#init" (func $init))
  (export "ffrtmp:scheduler/policy@0.1.0#sync" (func $sync))
  (export "ffrtmp:scheduler/policy@0.1.0#rank" (func $rank))
  (export "ffrtmp:scheduler/policy@0.1.0#plan" (func $plan))
"#;

/// Guests of another world.
const WORLDS: [(&str, &str); 4] = [
    ("imports_wasi", "package ffrtmp:scheduler@0.1.0; world w { import wasi:cli/environment@0.2.0; export policy; } interface policy { init: func(); }
        package wasi:cli@0.2.0 { interface environment { get-environment: func() -> list<tuple<string, string>>; } }"),
    ("exports_another_world", "package test:other; world w { export run: func(); }"),
    ("an_earlier_contract", "package ffrtmp:scheduler@0.0.9; world w { export policy; } interface policy { init: func(); }"),
    ("a_later_contract", "package ffrtmp:scheduler@0.2.0; world w { export policy; } interface policy { init: func(); }"),
];

/// Every hostile guest, by name.
pub fn all(root: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut guests = Vec::new();
    for entry in std::fs::read_dir(root.join("tests/hostile"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "wat")
            && let Some(name) = path.file_stem().and_then(|s| s.to_str())
        {
            let (mut resolve, world) = bindings::world(root)?;
            let module =
                module(&std::fs::read_to_string(&path)?).with_context(|| format!("{name}.wat"))?;
            let bytes = match name {
                "core_module" => module,
                _ => {
                    component(&mut resolve, world, module).with_context(|| format!("{name}.wat"))?
                }
            };
            guests.push((name.to_owned(), bytes));
        }
    }
    for (name, wit) in WORLDS {
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("test.wit", wit)
            .with_context(|| name.to_owned())?;
        let world = resolve.select_world(&[package], Some("w"))?;
        let module = dummy_module(
            &resolve,
            world,
            ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync),
        );
        guests.push((
            name.to_owned(),
            component(&mut resolve, world, module).with_context(|| name.to_owned())?,
        ));
    }
    guests.sort();
    Ok(guests)
}

fn module(parts: &str) -> anyhow::Result<Vec<u8>> {
    let good: String = GOOD
        .iter()
        .filter(|(name, _)| !defines(parts, name))
        .map(|(_, text)| *text)
        .collect();
    Ok(wat::parse_str(format!("(module {FRAME} {good} {parts})"))?)
}

fn defines(parts: &str, name: &str) -> bool {
    parts.contains(&format!("(func {name} ")) || parts.contains(&format!("(memory {name} "))
}

fn component(
    resolve: &mut Resolve,
    world: WorldId,
    mut module: Vec<u8>,
) -> anyhow::Result<Vec<u8>> {
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8, false)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .encode()
}
