//! The rules of Landlock: what may be opened, made and connected to. What no rule names is refused.
//!
//! Rules are about files, not names: a link that is put in place of the input after it was checked leads to a file without a
//! rule. What an older kernel does not know is left out by the library; [`super::report`] tells of it, and [`super::calls`]
//! closes what can be closed by other means.

use std::{io, os::fd::OwnedFd, path::Path};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::{Needs, Sandbox, system};

/// The version whose rights are handled: the newest that was tried. Of files it is that of the fifth.
const USED: ABI = ABI::V6;

/// Makes the rules; `None` if the kernel took none of them.
pub(super) fn ruleset(sandbox: &Sandbox, needs: &Needs) -> io::Result<Option<OwnedFd>> {
    let made = build(sandbox, needs);
    let made = made.map_err(|error| io::Error::other(format!("its Landlock rules: {error}")))?;
    Ok(made.into())
}

fn build(sandbox: &Sandbox, needs: &Needs) -> Result<RulesetCreated, RulesetError> {
    let run = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let system = &sandbox.system;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(USED))?
        .handle_access(AccessNet::from_all(USED))?
        .scope(Scope::from_all(USED))?
        .create()?
        .add_rules(path_beneath_rules(&system.programs, run))?
        .add_rules(path_beneath_rules(&system.reads, read))?
        .add_rules(path_beneath_rules(&sandbox.reads, run))?
        .add_rules(path_beneath_rules(
            &sandbox.writes,
            own_folder() | AccessFs::Refer,
        ))?
        .add_rules(path_beneath_rules(system::SINKS, device()))?;
    if needs.devices {
        rules = rules
            .add_rules(path_beneath_rules(system::GPU_READS, read))?
            .add_rules(path_beneath_rules(
                system::gpu_devices(Path::new("/")),
                device() | AccessFs::IoctlDev | AccessFs::ReadDir,
            ))?
            .add_rules(path_beneath_rules([system::GPU_SHARED], own_folder()))?;
    }
    for grant in &needs.reads {
        rules = rules.add_rule(PathBeneath::new(grant.as_ref(), AccessFs::ReadFile))?;
    }
    for grant in &needs.writes {
        // What does not apply to a file is left out for one.
        rules = rules.add_rule(PathBeneath::new(grant.as_ref(), own_folder()))?;
    }
    for port in &needs.network.tcp {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules)
}

/// In a folder of its own ffmpeg makes, renames and removes files. Links, pipes, sockets and devices it needs none of.
fn own_folder() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
}

fn device() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate
}
