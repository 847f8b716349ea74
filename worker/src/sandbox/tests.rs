//! What can be told without a kernel that lacks something, and what cannot be seen from outside.

use std::{process::Command, time::Instant};

use ffrtmp_api::{
    job::JobSpec,
    limits::NAME_BYTES_MAX,
    protocol::GuardReport,
    settings::{Output, Settings},
};
use seccompiler::TargetArch;

use super::*;
use crate::ffmpeg::{capture::capture, spawner::Spawner};

/// A sandbox on a kernel with this version of Landlock, 0 being none.
fn on(landlock: i32, seccomp: bool, other_user: bool) -> Sandbox {
    Sandbox {
        kernel: Some(Kernel {
            landlock: match landlock {
                0 => Err("this kernel has no Landlock".into()),
                version => Ok(version),
            },
            seccomp: match seccomp {
                true => Ok(TargetArch::x86_64),
                false => Err("this kernel filters no system calls".into()),
            },
            drops_capabilities: true,
        }),
        user: other_user.then(|| Arc::new(User::nobody())),
        ..Sandbox::default()
    }
}

fn lacking(sandbox: &Sandbox) -> Vec<String> {
    let reports: Vec<GuardReport> = sandbox.reports();
    for report in &reports {
        // The master cuts longer ones.
        assert!(report.what.len() <= NAME_BYTES_MAX, "{report:?}");
        assert!(report.name.len() <= NAME_BYTES_MAX);
    }
    let lacking = reports.into_iter().filter(|report| !report.holds);
    lacking.map(|report| report.name).collect()
}

#[test]
fn what_an_older_kernel_lacks_is_said_to_be_lacking() {
    assert_eq!(lacking(&on(7, true, false)), [""; 0]);
    assert_eq!(lacking(&on(6, true, false)), [""; 0]);
    assert_eq!(lacking(&on(4, true, false)), ["processes"]);
    assert_eq!(
        lacking(&on(4, true, true)),
        [""; 0],
        "another user signals nobody"
    );
    assert_eq!(lacking(&on(2, true, false)), ["connections", "processes"]);
    assert_eq!(
        lacking(&on(0, true, false)),
        ["files", "connections", "processes"]
    );
    assert_eq!(
        lacking(&on(7, false, false)),
        ["connections", "system calls"]
    );
    assert_eq!(
        lacking(&on(0, false, true)),
        ["files", "connections", "processes", "system calls"]
    );
    assert_eq!(lacking(&Sandbox::default()), [""; 0], "none was asked for");
    let why = on(2, true, false).reports();
    assert!(why[1].what.contains("Linux 6.7") && why[2].what.contains("--run-as"));
}

fn network(input: &str, output: Option<&str>) -> Network {
    let settings = Settings::resolve(&JobSpec {
        input: Some(input.into()),
        output: output.map(Into::into),
        ..JobSpec::default()
    })
    .unwrap();
    assert!(
        output.is_none()
            || matches!(
                settings.output,
                Some(Output::Push(_) | Output::File(_) | Output::Put(_))
            )
    );
    Network::of(&settings, Some(8_888))
}

#[test]
fn a_job_connects_to_what_it_names_and_to_web_servers_by_the_proxy_alone() {
    let tcp = |ports: &[u16]| Network {
        tcp: ports.iter().copied().collect(),
        udp: false,
    };
    assert_eq!(network("/a.mp4", Some("/b.mp4")), Network::default());
    // A PUT is the worker's own.
    assert_eq!(
        network("/a.mp4", Some("https://h/b.mp4")),
        Network::default()
    );
    assert_eq!(network("https://h/a.mp4", Some("/b.mp4")), tcp(&[8_888]));
    assert_eq!(network("/a.mp4", Some("rtmp://h/live/k")), tcp(&[1_935]));
    assert_eq!(
        network("http://h/a.m3u8", Some("rtmp://h:1936/live/k")),
        tcp(&[1_936, 8_888])
    );
    assert_eq!(network("/a.mp4", Some("rtmps://h/live/k")), tcp(&[443]));
    let srt = network("srt://h:9000", Some("/b.mp4"));
    assert!(srt.udp && srt.tcp.is_empty());
}

#[test]
fn the_filters_are_of_a_size_the_kernel_takes_for_every_kind_of_job() {
    // `BPF_MAXINSNS` of `linux/bpf_common.h`.
    const INSTRUCTIONS_MAX: usize = 4_096;
    for (input, devices) in [
        ("/a.mp4", false),
        ("/a.mp4", true),
        ("http://h/a", false),
        ("srt://h:1", true),
    ] {
        let needs = Needs {
            network: network(input, None),
            devices,
            ..Needs::default()
        };
        for target in [TargetArch::x86_64, TargetArch::aarch64] {
            let filters = calls::filters(target, &needs).unwrap();
            assert!(filters.iter().all(|filter| filter.len() < INSTRUCTIONS_MAX));
        }
    }
}

#[test]
fn a_thread_that_acted_as_another_user_is_itself_again() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: only root can become another user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let user = User::nobody();
    let groups = rustix::process::getgroups().unwrap();
    let inside = acting(Some(&user), || std::fs::write(dir.path().join("a"), ""));
    assert_eq!(
        inside.unwrap_err().kind(),
        io::ErrorKind::PermissionDenied,
        "the folder is root's alone"
    );
    // However it ends.
    let panicked = std::panic::catch_unwind(|| acting(Some(&user), || panic!("as it should")));
    assert!(panicked.is_err());
    std::fs::write(dir.path().join("a"), "").unwrap();
    assert_eq!(rustix::process::getgroups().unwrap(), groups);
}

/// Prints what a run of ffmpeg takes in the sandbox, against one without, both in pairs.
#[tokio::test]
#[ignore = "a figure, for a quiet machine"]
async fn figures_of_a_start_in_the_sandbox_against_one_without() {
    const PAIRS: usize = 30;
    let config = WorkerConfig::new("http://127.0.0.1:1", "/nowhere");
    let programs = Programs::find("ffmpeg".as_ref(), "ffprobe".as_ref()).unwrap();
    let sandbox = Arc::new(Sandbox::find(&config, &programs).unwrap());
    let bare = Spawner::start(uuid::Uuid::new_v4()).unwrap();
    let walled = bare.in_sandbox(Arc::clone(&sandbox));
    let run = async |spawner: &Spawner| {
        let mut command = Command::new(&programs.ffmpeg);
        command.args(["-hide_banner", "-version"]);
        let from = Instant::now();
        let done = capture(spawner, command, std::time::Duration::from_secs(60))
            .await
            .unwrap();
        assert!(done.exit.status.success());
        from.elapsed().as_secs_f64()
    };
    let mut times = Vec::new();
    for _ in 0..PAIRS {
        times.push((run(&bare).await, run(&walled).await));
    }
    let median = |mut numbers: Vec<f64>| {
        numbers.sort_by(f64::total_cmp);
        numbers[numbers.len() / 2]
    };
    let without = median(times.iter().map(|pair| pair.0).collect());
    let within = median(times.iter().map(|pair| pair.1).collect());
    let ratio = median(times.iter().map(|pair| pair.1 / pair.0).collect());
    let mut seals = Vec::new();
    for _ in 0..PAIRS {
        let from = Instant::now();
        drop(sandbox.seal(&Needs::default()).unwrap());
        seals.push(from.elapsed().as_secs_f64());
    }
    println!(
        "ffmpeg -version: {:.1} ms without, {:.1} ms within the sandbox, ratio {ratio:.3}; of that the worker's part {:.2} ms",
        without * 1e3,
        within * 1e3,
        median(seals) * 1e3
    );
}
