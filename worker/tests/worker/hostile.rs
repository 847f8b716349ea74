//! An ffmpeg that was taken over: what it tries, one thing after the other, and what it got.
//!
//! It is this test program, run again in the place of ffmpeg, so it makes the very system calls. It harms nothing where it
//! succeeds, since it is run without a sandbox too, to show that there it does succeed.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, File, OpenOptions},
    io,
    net::{TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    ptr,
};

use crate::node::Node;

/// What was tried, and the number of the error that came; 0 where it succeeded.
pub type Got = BTreeMap<String, i32>;

/// Puts it in the place of this node's ffmpeg. It reads `input`, if there is one, and goes for `trap`, a TCP port.
pub fn in_place_of_ffmpeg(node: Node, input: Option<&Path>, trap: u16) -> Node {
    let this = std::env::current_exe().unwrap();
    let dir = node.dir.path().to_owned();
    fs::write(dir.join("secret"), "secret").unwrap();
    fs::write(node.media("other.mp4"), "another film").unwrap();
    let script = format!(
        "export HOSTILE_DIR={} HOSTILE_INPUT={} HOSTILE_TRAP={trap} HOSTILE_TARGET=\"$target\" HOSTILE_WORKER={}\n\
         exec {} --exact hostile::what_it_tries --ignored --nocapture",
        dir.display(),
        input.unwrap_or(Path::new("")).display(),
        std::process::id(),
        this.display(),
    );
    let mut node = node.with_ffmpeg(&script);
    // It lies in a folder of no distribution.
    node.config.sandbox_reads = vec![this];
    node
}

/// What it got, from the log of the job it failed.
pub fn got(log: &str) -> Got {
    let tries = log
        .lines()
        .filter_map(|line| line.trim().strip_prefix("tried "));
    let got: Got = tries
        .filter_map(|line| {
            let (what, number) = line.rsplit_once(": ")?;
            Some((what.to_owned(), number.parse().ok()?))
        })
        .collect();
    assert!(
        got.contains_key("the end"),
        "it did not come to its end:\n{log}"
    );
    got
}

/// A line of `/proc/self/status` that it printed.
pub fn status<'a>(log: &'a str, name: &str) -> &'a str {
    let marked = format!("status {name}:");
    log.lines()
        .find_map(|line| line.trim().strip_prefix(marked.as_str()))
        .unwrap_or_else(|| panic!("no {name} in\n{log}"))
        .trim()
}

fn call(answer: libc::c_long) -> io::Result<()> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[test]
#[ignore = "no test: it is run in the place of ffmpeg"]
#[allow(clippy::too_many_lines)]
fn what_it_tries() {
    let var = |name: &str| std::env::var(format!("HOSTILE_{name}")).unwrap();
    let dir = PathBuf::from(var("DIR"));
    let (media, target) = (dir.join("media"), PathBuf::from(var("TARGET")));
    let other = media.join("other.mp4");
    let worker: i32 = var("WORKER").parse().unwrap();
    let trap: u16 = var("TRAP").parse().unwrap();
    let proxy = std::env::var("http_proxy").unwrap();
    let proxy: u16 = proxy.rsplit_once(':').unwrap().1.parse().unwrap();
    let tried = |what: &str, answer: io::Result<()>| {
        let number = answer.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0);
        eprintln!("tried {what}: {number}");
    };
    let reads = |path: &Path| {
        let mut file = File::open(path)?;
        let read = io::copy(&mut file, &mut io::sink());
        read.map(drop)
    };
    for line in fs::read_to_string("/proc/self/status").unwrap().lines() {
        eprintln!("status {line}");
    }

    // What it is there for.
    if !var("INPUT").is_empty() {
        tried("reading its input", reads(Path::new(&var("INPUT"))));
        let write = OpenOptions::new().append(true).open(var("INPUT")).map(drop);
        tried("writing its input", write);
    }
    tried("writing its output", fs::write(&target, "output"));
    tried("reading its output", reads(&target));
    tried(
        "running a program",
        std::process::Command::new("true").status().map(drop),
    );
    tried(
        "making a thread",
        std::thread::Builder::new().spawn(|| ()).map(drop),
    );

    // Files.
    tried("reading a secret", reads(&dir.join("secret")));
    tried("reading /etc/shadow", reads(Path::new("/etc/shadow")));
    tried(
        "reading the worker's state",
        reads(&dir.join("state/install_id")),
    );
    tried("reading another film", reads(&other));
    tried("listing the films", fs::read_dir(&media).map(drop));
    let appends = OpenOptions::new().append(true).open(&other).map(drop);
    tried("writing another film", appends);
    let made = media.join("made");
    tried("making a file", File::create(&made).map(drop));
    let _ = fs::remove_file(&made);
    let link = media.join("link");
    tried(
        "making a link",
        std::os::unix::fs::symlink("/etc/shadow", &link),
    );
    let _ = fs::remove_file(&link);
    tried("making another name", fs::hard_link(&other, &link));
    let _ = fs::remove_file(&link);
    tried("removing a film", fs::rename(&other, &link));
    let _ = fs::rename(&link, &other);
    let path = CString::new(other.to_str().unwrap()).unwrap();
    // SAFETY: here and below, plain system calls on strings and numbers that live until they return; what is asked for is either refused
    // or does nothing.
    unsafe {
        tried(
            "cutting a film",
            call(libc::truncate(path.as_ptr(), 12).into()),
        );
        tried(
            "the mode of a film",
            call(libc::chmod(path.as_ptr(), 0o644).into()),
        );
        tried(
            "the owner of a film",
            call(libc::chown(path.as_ptr(), u32::MAX, u32::MAX).into()),
        );
        let input = CString::new(var("INPUT")).unwrap();
        if !input.is_empty() {
            tried(
                "the mode of its input",
                call(libc::chmod(input.as_ptr(), 0o644).into()),
            );
        }
        let mut handle = [0_u8; 136];
        handle[0] = 128;
        let mut mount = 0;
        let named = libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            handle.as_mut_ptr(),
            &raw mut mount,
            0,
        );
        tried("the handle of a film", call(named));
    }

    // The network.
    tried(
        "a connection",
        TcpStream::connect(("127.0.0.1", trap)).map(drop),
    );
    tried(
        "the proxy",
        TcpStream::connect(("127.0.0.1", proxy)).map(drop),
    );
    let datagram = UdpSocket::bind("0.0.0.0:0")
        .and_then(|socket| socket.send_to(b"out", ("127.0.0.1", trap)).map(drop));
    tried("a datagram", datagram);
    tried(
        "a local service",
        UnixStream::connect(dir.join("service")).map(drop),
    );
    let socket = |family, kind, protocol| {
        // SAFETY: numbers alone; the process ends soon after.
        call(unsafe { libc::socket(family, kind, protocol) }.into())
    };
    let (stream, raw) = (libc::SOCK_STREAM, libc::SOCK_RAW);
    tried("a packet socket", socket(libc::AF_PACKET, raw, 0));
    tried(
        "a raw socket",
        socket(libc::AF_INET, raw, libc::IPPROTO_ICMP),
    );
    tried("a netlink socket", socket(libc::AF_NETLINK, raw, 0));
    tried("a vsock socket", socket(libc::AF_VSOCK, stream, 0));
    tried(
        "a multipath socket",
        socket(libc::AF_INET, stream, libc::IPPROTO_MPTCP),
    );
    tried(
        "a server",
        std::net::TcpListener::bind("127.0.0.1:0").map(drop),
    );
    let service = dir.join("service");
    // By the other way of sending: what goes along with the connection.
    // SAFETY: an address of the size that is said.
    unsafe {
        let socket = libc::socket(libc::AF_INET, stream, 0);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_port = trap.to_be();
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let sent = libc::sendto(
            socket,
            b"out".as_ptr().cast(),
            3,
            libc::MSG_FASTOPEN,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_in>() as u32,
        );
        tried("a fast connection", call(sent as libc::c_long));
    }
    drop(service);

    // Other processes.
    let of_worker = |name: &str| PathBuf::from(format!("/proc/{worker}/{name}"));
    tried("the worker's environment", reads(&of_worker("environ")));
    tried(
        "the worker's memory",
        File::open(of_worker("mem")).map(drop),
    );
    // SAFETY: as above. Signal 0 asks whether one could be sent; a process that is seized goes on.
    unsafe {
        let none = ptr::null::<libc::c_void>();
        tried("a signal to the worker", call(libc::kill(worker, 0).into()));
        let seized = libc::ptrace(libc::PTRACE_SEIZE, worker, none, none);
        tried("tracing the worker", call(seized));
        let mut byte = 0_u8;
        let local = libc::iovec {
            iov_base: (&raw mut byte).cast(),
            iov_len: 1,
        };
        let far = libc::iovec {
            iov_base: what_it_tries as *mut libc::c_void,
            iov_len: 1,
        };
        let read = libc::process_vm_readv(worker, &raw const local, 1, &raw const far, 1, 0);
        tried("reading the worker", call(read as libc::c_long));
        let mut limit: libc::rlimit = std::mem::zeroed();
        let limited = libc::prlimit(worker, libc::RLIMIT_CORE, ptr::null(), &raw mut limit);
        tried("the worker's limits", call(limited.into()));
        let survives = libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        tried("outliving the worker", call(survives.into()));
    }

    // The kernel. What is allowed says "bad address" or the like, and nothing happens.
    // SAFETY: as above; every pointer is null, which the kernel refuses if it comes so far.
    unsafe {
        let null = ptr::null::<libc::c_void>();
        let s = |number: libc::c_long, a: libc::c_long, b: libc::c_long| {
            call(libc::syscall(number, a, b, null, null, null))
        };
        tried(
            "a mount",
            call(
                libc::mount(
                    c"none".as_ptr(),
                    c"/".as_ptr(),
                    c"no such thing".as_ptr(),
                    0,
                    null,
                )
                .into(),
            ),
        );
        tried(
            "a namespace",
            call(libc::unshare(libc::CLONE_NEWUTS).into()),
        );
        tried(
            "a user namespace",
            call(libc::unshare(libc::CLONE_NEWUSER).into()),
        );
        let child = libc::syscall(
            libc::SYS_clone,
            libc::CLONE_NEWUTS | libc::SIGCHLD,
            null,
            null,
            null,
            null,
        );
        if child == 0 {
            libc::_exit(0);
        }
        tried("a child in a namespace", call(child));
        tried("another's namespace", s(libc::SYS_setns, -1, 0));
        tried("another root", call(libc::chroot(c"/".as_ptr()).into()));
        tried("a module", s(libc::SYS_init_module, 0, 0));
        tried("bpf", s(libc::SYS_bpf, 0, 0));
        tried("perf", s(libc::SYS_perf_event_open, 0, 0));
        tried("keys", s(libc::SYS_keyctl, 0, 0));
        tried("userfaultfd", s(libc::SYS_userfaultfd, 0, 0));
        tried("io_uring", s(libc::SYS_io_uring_setup, 1, 0));
        tried("clone3", s(libc::SYS_clone3, 0, 0));
        tried("openat2", s(libc::SYS_openat2, -1, 0));
        #[cfg(target_arch = "x86_64")]
        tried(
            "another convention",
            s(libc::SYS_getpid | 0x4000_0000, 0, 0),
        );
    }
    tried("the end", Ok(()));
    std::process::exit(3);
}
