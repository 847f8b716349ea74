//! What a worker tells of its machine, and that it goes on telling the truth when the machine changes under it: drivers, GPUs,
//! ffmpeg. No GPU is needed: a library stands in for NVIDIA's.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ffrtmp_api::{
    encoder::{Encoder, EncoderSet},
    job::{FailureReason, Hardware, JobSpec},
    protocol::{Hello, Outcome, ToMaster, ToWorker},
};

use crate::{
    master::{Master, Session, attempt, order},
    node::Node,
};

/// A GPU that is hot and busy, and whose power and sessions cannot be read.
const HOT: &str = r#"{"uuid": "GPU-hot", "name": "NVIDIA GeForce RTX 3060", "memory": [12884901888, 1073741824], "utilisation": 98,
    "encoder": 77, "decoder": 12, "sessions": 2, "temperature": 91, "fails": {"milliwatts": 999, "sessions": 999}}"#;
const COLD: &str = r#"{"uuid": "GPU-cold", "name": "NVIDIA L4", "memory": [24159191040, 0], "utilisation": 0, "encoder": 0,
    "decoder": 0, "sessions": 0, "temperature": 34, "milliwatts": 16100}"#;

/// A driver in a folder of its own.
struct Driver {
    library: PathBuf,
}

impl Driver {
    /// Installed, but without a card: as when its module is not loaded.
    fn installed(dir: &Path) -> Driver {
        // Built with this test, beside it.
        let built = std::env::current_exe().unwrap();
        let built = built.with_file_name("libffrtmp_fake_nvml.so");
        let library = dir.join("libnvidia-ml.so.1");
        fs::copy(&built, &library).unwrap_or_else(|e| panic!("{}: {e}", built.display()));
        Driver { library }
    }

    fn has(&self, gpus: &[&str]) {
        let text = format!(
            r#"{{"driver": "535.183.01", "gpus": [{}]}}"#,
            gpus.join(",")
        );
        let path = self.library.with_file_name("gpus.json");
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }
}

/// An ffmpeg whose NVENC works on every GPU but one called `GPU-broken`. What it encodes with it, it encodes with x264, and it
/// notes which GPU it was given.
fn ffmpeg(node: &mut Node) -> PathBuf {
    let path = node.dir.path().join("ffmpeg");
    let script = format!(
        "#!/bin/bash\n\
         [[ \" $* \" == *' -progress '* ]] && echo \"$CUDA_VISIBLE_DEVICES $*\" >{}\n\
         [[ $CUDA_VISIBLE_DEVICES == GPU-broken ]] && {{ echo 'No capable devices found' >&2; exit 1; }}\n\
         args=()\n\
         while (($#)); do case $1 in\n\
           *_nvenc) args+=(libx264);; -gpu|-rc|-cq|-preset) shift;; *) args+=(\"$1\");;\n\
         esac; shift; done\n\
         exec ffmpeg \"${{args[@]}}\"\n",
        node.dir.path().join("given").display()
    );
    let given = node.dir.path().join("given");
    fs::write(&given, "").unwrap();
    node.config.sandbox_writes = vec![given];
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    node.config.ffmpeg = path.clone();
    path
}

fn has(hello: &Hello, encoder: Encoder) -> bool {
    let encoders = hello.capabilities.encoders;
    encoders.contains_all(EncoderSet::of(encoder))
}

/// The next hello of which `holds`.
async fn introduced(session: &mut Session, holds: impl Fn(&Hello) -> bool) -> Hello {
    let hello = session
        .until(|frame| match frame {
            ToMaster::Hello(hello) if holds(&hello) => Some(*hello),
            _ => None,
        })
        .await;
    session.welcome();
    hello
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_s_gpus_are_told_with_their_loads_and_one_that_vanishes_keeps_its_place() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    let driver = Driver::installed(node.dir.path());
    node.config.nvml_library = Some(driver.library.clone());
    ffmpeg(&mut node);
    let _running = node.start();
    let (mut session, hello) = master.session().await;
    assert!(hello.capabilities.gpus.is_empty(), "{hello:?}");
    assert!(!has(&hello, Encoder::H264Nvenc));
    let why = |hello: &Hello| {
        let mut all = hello.capabilities.unavailable.iter();
        let found = all.find(|one| one.encoder == Encoder::H264Nvenc);
        found.map(|one| one.why.clone())
    };
    assert_eq!(
        why(&hello).as_deref(),
        Some("no NVIDIA GPU: no driver answers")
    );

    // The driver appears.
    driver.has(&[HOT, COLD]);
    let hello = introduced(&mut session, |hello| hello.capabilities.gpus.len() == 2).await;
    let gpus = &hello.capabilities.gpus;
    let told: Vec<(&str, &str, u32, u32)> = gpus
        .iter()
        .map(|g| {
            (
                g.uuid.as_str(),
                g.model.as_str(),
                g.memory_mib,
                g.sessions_max,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("GPU-cold", "NVIDIA L4", 23_040, 32),
            ("GPU-hot", "NVIDIA GeForce RTX 3060", 12_288, 5)
        ]
    );
    assert!(has(&hello, Encoder::H264Nvenc), "{hello:?}");
    assert_eq!(why(&hello), None);
    let load = session
        .until(|frame| match frame {
            ToMaster::Heartbeat(beat) => beat.gpus.get(1).cloned(),
            _ => None,
        })
        .await;
    assert_eq!(
        (
            load.utilisation_percent,
            load.memory_used_mib,
            load.sessions
        ),
        (Some(98.0), Some(1_024), None)
    );
    assert_eq!(
        (
            load.encoder_percent,
            load.decoder_percent,
            load.temperature_celsius
        ),
        (Some(77.0), Some(12.0), Some(91.0))
    );
    // A call that fails costs nothing but its own number.
    assert_eq!(load.power_watts, None);
    let fault = load.fault.unwrap();
    assert!(
        fault.starts_with("encoder sessions: ") && fault.contains("; power: "),
        "{fault}"
    );

    // The first one vanishes: the second, now first in the driver's list, is still the second here.
    driver.has(&[HOT]);
    let lost = introduced(&mut session, |h| {
        h.capabilities.gpus.iter().any(|gpu| gpu.unusable.is_some())
    })
    .await;
    let gpus = &lost.capabilities.gpus;
    assert_eq!((gpus[0].sessions_max, gpus[1].sessions_max), (0, 5));
    assert!(has(&lost, Encoder::H264Nvenc));
    let mut job = order(attempt(1), |spec| {
        crate::master::tiny(spec);
        spec.gpu = true;
    });
    job.gpu = Some(1);
    session.send(ToWorker::Assign {
        assignments: vec![job],
    });
    let (outcome, log) = session.outcome(attempt(1)).await;
    assert!(
        matches!(outcome, Outcome::Completed { .. }),
        "{outcome:?}\n{log}"
    );
    let given = fs::read_to_string(node.dir.path().join("given")).unwrap();
    assert!(
        given.starts_with("GPU-hot ") && given.contains(" -gpu 0 "),
        "ffmpeg was given {given}"
    );

    // It comes back, to its place.
    driver.has(&[HOT, COLD]);
    let back = introduced(&mut session, |h| {
        h.capabilities.gpus.iter().all(|gpu| gpu.unusable.is_none())
    })
    .await;
    assert_eq!(back.capabilities.gpus[0].uuid, "GPU-cold");
    assert_eq!(back.capabilities.gpus[0].sessions_max, 32);

    // The driver goes altogether.
    fs::remove_file(driver.library.with_file_name("gpus.json")).unwrap();
    let none = introduced(&mut session, |h| !has(h, Encoder::H264Nvenc)).await;
    let unusable = none.capabilities.gpus.iter();
    assert!(
        unusable.clone().all(|gpu| gpu.sessions_max == 0),
        "{none:?}"
    );
    assert!(none.capabilities.unfit.is_none(), "software still works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_on_which_no_encoder_passes_is_given_nothing_and_says_why() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    let driver = Driver::installed(node.dir.path());
    driver.has(&[COLD, &HOT.replace("GPU-hot", "GPU-broken")]);
    node.config.nvml_library = Some(driver.library.clone());
    ffmpeg(&mut node);
    let _running = node.start();
    let (_session, hello) = master.session().await;
    let gpus = &hello.capabilities.gpus;
    assert_eq!(gpus[0].uuid, "GPU-broken");
    assert_eq!(gpus[0].sessions_max, 0);
    assert_eq!(
        gpus[0].unusable.as_deref(),
        Some("no encoder passed its trial on it")
    );
    assert_eq!(gpus[1].sessions_max, 32);
    assert!(has(&hello, Encoder::HevcNvenc), "the other GPU has it");
    let mut told = hello.capabilities.unavailable.iter();
    assert!(
        told.any(|one| one.encoder == Encoder::HevcNvenc
            && one.gpu == Some(0)
            && one.why == "No capable devices found"),
        "{:?}",
        hello.capabilities.unavailable
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cpu_goes_on_where_preferred_hardware_fails_in_the_time_that_is_left_of_the_job_s() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    let driver = Driver::installed(node.dir.path());
    driver.has(&[COLD]);
    node.config.nvml_library = Some(driver.library.clone());
    // Its trials pass, then it fails every job, late; the CPU takes its time too.
    let ffmpeg = ffmpeg(&mut node);
    let text = fs::read_to_string(&ffmpeg).unwrap();
    let late = "if [[ \" $* \" == *' -progress '* ]]; then sleep 1.5\n\
                [[ $* == *_nvenc* ]] && { echo 'OpenEncodeSessionEx failed: out of memory (10)' >&2; exit 1; }\n\
                fi\nargs=()";
    fs::write(&ffmpeg, text.replace("args=()", late)).unwrap();
    let _running = node.start();
    let (mut session, hello) = master.session().await;
    assert!(has(&hello, Encoder::H264Nvenc), "{hello:?}");
    let wants = |spec: &mut JobSpec| {
        crate::master::tiny(spec);
        spec.hardware = Some(Hardware::Prefer);
    };

    session.assign(attempt(1), wants);
    let (outcome, log) = session.outcome(attempt(1)).await;
    let Outcome::Completed { result } = outcome else {
        panic!("{outcome:?}\n{log}")
    };
    assert_eq!(result.encoder, "libx264");
    assert!(log.contains("OpenEncodeSessionEx failed"), "{log}");
    assert!(result.wall_seconds >= 3.0, "both count: {result:?}");

    session.assign(attempt(2), |spec| {
        wants(spec);
        spec.timeout_seconds = Some(2.5);
    });
    let (reason, message) = session.failure(attempt(2)).await;
    assert_eq!(reason, FailureReason::Timeout);
    assert!(message.contains("limit of 2.5 s"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ffmpeg_a_worker_says_that_it_is_unfit_and_with_another_one_it_tries_all_anew() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    let ffmpeg = ffmpeg(&mut node);
    let _running = node.start();
    let (mut session, hello) = master.session().await;
    assert!(hello.capabilities.unfit.is_none());
    assert!(has(&hello, Encoder::Libx265));

    let aside = ffmpeg.with_extension("aside");
    fs::rename(&ffmpeg, &aside).unwrap();
    let unfit = introduced(&mut session, |hello| hello.capabilities.unfit.is_some()).await;
    assert_eq!(unfit.capabilities.encoders, EncoderSet::EMPTY);
    let why = unfit.capabilities.unfit.unwrap();
    assert!(why.contains(ffmpeg.to_str().unwrap()), "{why}");

    // Another build takes its place: one without x265.
    let text = fs::read_to_string(&aside).unwrap();
    let other = text.replace(
        "args=()",
        "[[ $* == *libx265* ]] && { echo \"Unknown encoder 'libx265'\" >&2; exit 1; }\nargs=()",
    );
    fs::write(&aside, other).unwrap();
    fs::rename(&aside, &ffmpeg).unwrap();
    let other = introduced(&mut session, |hello| hello.capabilities.unfit.is_none()).await;
    assert!(has(&other, Encoder::Libx264) && !has(&other, Encoder::Libx265));
    let mut told = other.capabilities.unavailable.iter();
    assert!(
        told.any(|one| one.encoder == Encoder::Libx265 && one.why == "Unknown encoder 'libx265'"),
        "{:?}",
        other.capabilities.unavailable
    );
}
