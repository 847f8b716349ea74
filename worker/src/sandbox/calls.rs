//! The system calls that ffmpeg goes without: a list of what is refused, because a list of what is allowed would end with the next
//! version of a C library or a driver.
//!
//! What is refused is what leads out of the other walls (namespaces, mounts, tracing, other ways to open files, sockets that Landlock
//! does not see), what Landlock leaves open (owners and modes of files), and doors of the kernel that media work has no use for and
//! attackers had (`bpf`, `io_uring`, `userfaultfd`, keys). Libraries that would like one of them fall back: they are told that it is
//! not allowed, or that there is no such call where that is what they look for.

use std::{collections::BTreeMap, io};

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

use super::{Needs, Network};

/// Refused with "operation not permitted".
const REFUSED: &[c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Namespaces and the tree of files.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    // Files by other means than a path, which no rule of Landlock is about.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    // Owners, modes, times and attributes of files, which Landlock leaves to the user's rights.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // Cuts a file by its path; Landlock sees that since Linux 6.2. ffmpeg cuts what it has open.
    libc::SYS_truncate,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Doors of the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
];

/// Waiting for others to connect: nothing here is a server, and a datagram needs neither. Drivers of GPUs do among themselves.
const SERVING: &[c_long] = &[libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4];

/// The same, of calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_vhangup,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[libc::SYS_vhangup];

/// Refused with "no such system call": libraries then do it as before there was one.
const UNKNOWN: &[c_long] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Their arguments stand in memory, where no filter looks; `clone` and `openat` do the same.
    libc::SYS_clone3,
    libc::SYS_openat2,
];

/// `fchmodat2` (Linux 6.6), which the C library's crate has not yet on every architecture.
const FCHMODAT2: c_long = 452;
/// The flags of `clone` that make namespaces; that for times it takes from `clone3` alone.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// `TIOCSTI` and `TIOCLINUX` (`asm-generic/ioctls.h`): typing on a terminal, as if its user did.
const TERMINALS: [u64; 2] = [0x5412, 0x541c];
/// Bits of a socket's type that are its type; the rest are flags (`SOCK_TYPE_MASK` of `linux/net.h`).
const SOCKET_TYPE: u64 = 0xf;
/// The old name of packet sockets (`linux/net.h`), by which some kernels still have them.
const SOCK_PACKET: libc::c_int = 10;
/// Types of sockets: `linux/net.h` goes to 10.
const SOCKET_TYPES: [libc::c_int; 7] = [
    libc::SOCK_STREAM,
    libc::SOCK_DGRAM,
    libc::SOCK_RAW,
    libc::SOCK_RDM,
    libc::SOCK_SEQPACKET,
    libc::SOCK_DCCP,
    SOCK_PACKET,
];
/// From here on calls are those of the x32 convention, the same again by other numbers (`asm/unistd.h`).
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// How many calls are refused whatever they are called with, for people.
pub(super) fn count() -> usize {
    REFUSED.len() + REFUSED_HERE.len() + SERVING.len() + UNKNOWN.len()
}

/// The filters for a run that needs this.
pub(super) fn filters(target: TargetArch, needs: &Needs) -> io::Result<Vec<BpfProgram>> {
    let build = || -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
        let mut refused: BTreeMap<c_long, Vec<SeccompRule>> = REFUSED
            .iter()
            .chain(REFUSED_HERE)
            .chain(if needs.devices { &[] } else { SERVING })
            .map(|call| (*call, Vec::new()))
            .collect();
        refused.extend(by_arguments()?);
        let sockets = BTreeMap::from([(libc::SYS_socket, sockets(needs)?)]);
        let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
        [
            (refused, libc::EPERM),
            // What a machine without that protocol says.
            (sockets, libc::EAFNOSUPPORT),
            (unknown, libc::ENOSYS),
        ]
        .into_iter()
        .map(|(rules, error)| {
            let refusal = SeccompAction::Errno(error.unsigned_abs());
            SeccompFilter::new(rules, SeccompAction::Allow, refusal, target)?.try_into()
        })
        .collect()
    };
    let mut filters = build()
        .map_err(|error| io::Error::other(format!("its filter of system calls: {error}")))?;
    #[cfg(target_arch = "x86_64")]
    filters.push(without_x32());
    Ok(filters)
}

/// What is refused by what it is called with. Each rule is a set of conditions that hold together.
fn by_arguments() -> Result<Vec<(c_long, Vec<SeccompRule>)>, seccompiler::BackendError> {
    let has = |argument, bits: u64| when(argument, SeccompCmpOp::MaskedEq(bits), bits);
    let one = |condition: SeccompCondition| SeccompRule::new(vec![condition]);
    let namespaces = NAMESPACES.map(|flag| u64::from(flag.unsigned_abs()));
    let namespaces: Result<Vec<_>, _> = namespaces.iter().map(|flag| one(has(0, *flag)?)).collect();
    // A read that empties the file it reads, which Landlock takes for a read before Linux 6.2.
    let cut = (libc::O_TRUNC | libc::O_ACCMODE).unsigned_abs().into();
    let cuts = |argument| {
        let only_reads = libc::O_TRUNC.unsigned_abs().into();
        one(when(argument, SeccompCmpOp::MaskedEq(cut), only_reads)?)
    };
    // Data sent along with the connection, which is then made without being seen by Landlock.
    let fast_open = libc::MSG_FASTOPEN.unsigned_abs().into();
    let of_terminals: Result<Vec<_>, _> = TERMINALS
        .iter()
        .map(|call| one(when(1, SeccompCmpOp::Eq, *call)?))
        .collect();
    let mut rules = vec![
        (libc::SYS_clone, namespaces?),
        (libc::SYS_openat, vec![cuts(2)?]),
        (libc::SYS_sendto, vec![one(has(3, fast_open)?)?]),
        (libc::SYS_sendmsg, vec![one(has(2, fast_open)?)?]),
        (libc::SYS_sendmmsg, vec![one(has(3, fast_open)?)?]),
        (libc::SYS_ioctl, of_terminals?),
        // Limits of another process: one could be put on the worker.
        (
            libc::SYS_prlimit64,
            vec![one(when(0, SeccompCmpOp::Ne, 0)?)?],
        ),
        // Living on when the worker was killed.
        (
            libc::SYS_prctl,
            vec![one(when(
                0,
                SeccompCmpOp::Eq,
                libc::PR_SET_PDEATHSIG.unsigned_abs().into(),
            )?)?],
        ),
    ];
    #[cfg(target_arch = "x86_64")]
    rules.push((libc::SYS_open, vec![cuts(1)?]));
    Ok(rules)
}

/// Which sockets are refused: all that the run has no use for. None at all is the rule without conditions.
fn sockets(needs: &Needs) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let Network { tcp, udp } = &needs.network;
    let mut families = Vec::new();
    if !tcp.is_empty() || *udp {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if needs.devices {
        // Drivers speak to their services by it.
        families.push(libc::AF_UNIX);
    }
    if families.is_empty() {
        return Ok(Vec::new());
    }
    let is = |argument, value: libc::c_int| {
        when(argument, SeccompCmpOp::Eq, value.unsigned_abs().into())
    };
    let is_not = |argument, value: libc::c_int| {
        when(argument, SeccompCmpOp::Ne, value.unsigned_abs().into())
    };
    let others: Result<Vec<_>, _> = families.iter().map(|family| is_not(0, *family)).collect();
    let mut rules = vec![SeccompRule::new(others?)?];
    if !families.contains(&libc::AF_INET) {
        return Ok(rules);
    }
    let types = [
        (libc::SOCK_STREAM, !tcp.is_empty(), libc::IPPROTO_TCP),
        (libc::SOCK_DGRAM, *udp, libc::IPPROTO_UDP),
    ];
    for family in [libc::AF_INET, libc::AF_INET6] {
        for of_type in SOCKET_TYPES {
            let known = types
                .iter()
                .find(|(known, used, _)| *known == of_type && *used);
            let mut rule = vec![
                is(0, family)?,
                when(
                    1,
                    SeccompCmpOp::MaskedEq(SOCKET_TYPE),
                    of_type.unsigned_abs().into(),
                )?,
            ];
            if let Some((_, _, protocol)) = known {
                // The plain one alone: of MPTCP, SCTP and their like Landlock sees nothing.
                rule.extend([is_not(2, 0)?, is_not(2, *protocol)?]);
            }
            rules.push(SeccompRule::new(rule)?);
        }
    }
    Ok(rules)
}

/// A condition on an argument's lower half: all of these are numbers of 32 bits to the kernel.
fn when(
    argument: u8,
    is: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Dword, is, value)
}

/// Answers every call of the x32 convention as a kernel does that has none: the rules above know calls by their usual numbers. By hand,
/// because the library compares numbers for equality alone; three instructions of `linux/filter.h`.
#[cfg(target_arch = "x86_64")]
fn without_x32() -> BpfProgram {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let at_least = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let code = |code: u32, jt, jf, k| sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    vec![
        // The call's number is the first field of `struct seccomp_data`.
        code(load, 0, 0, 0),
        code(at_least, 0, 1, X32),
        code(
            answer,
            0,
            0,
            SeccompAction::Errno(libc::ENOSYS.unsigned_abs()).into(),
        ),
        code(answer, 0, 0, SeccompAction::Allow.into()),
    ]
}
