//! What only a kernel of its own shows: limits by control groups, and a sandbox by an older kernel, in a virtual machine without a
//! disk.
//!
//! Most machines that tests run on are containers, or share the old hierarchies of control groups; there no limit can be
//! seen to hold. A distribution's kernel is booted by QEMU with everything in its initial RAM disk: the real `ffrtmp`, the real
//! ffmpeg, and `tests/vm/init.sh`, which does the looking and prints a line for each thing that must hold.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::cluster::{FFRTMP, Process, root};

/// How long all of it may take: every instruction is translated, beside other tests. (Hardware
/// support is not used where there is some, unless FFRTMP_VM_ACCEL is `kvm`: inside of other virtual machines it is unreliable.)
const PATIENCE: Duration = Duration::from_secs(900);

pub fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// A program and the libraries it loads.
pub fn with_libraries(program: &str) -> BTreeSet<PathBuf> {
    let listed = Command::new("ldd").arg(program).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// The RAM disk, as a file.
fn ram_disk(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    for folder in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
    let mut files = BTreeSet::new();
    for program in ["ffmpeg", "ffprobe"] {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .unwrap();
        let path = String::from_utf8(found.stdout).unwrap().trim().to_owned();
        fs::copy(&path, tree.join("bin").join(program)).unwrap();
        files.extend(with_libraries(&path));
    }
    files.extend(with_libraries(FFRTMP));
    for file in files {
        let copy = tree.join(file.strip_prefix("/").unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&file, &copy).unwrap();
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).unwrap();
    fs::copy(root().join("tests/vm/init.sh"), tree.join("init")).unwrap();
    // Without what is for debuggers it is a tenth of the size.
    let stripped = tree.join("bin/ffrtmp");
    run(Command::new("objcopy")
        .args(["--strip-debug", FFRTMP])
        .arg(stripped));
    let disk = dir.join("initrd");
    run(Command::new("sh")
        .args(["-c", "find . | busybox cpio -o -H newc > ../initrd"])
        .stderr(Stdio::null())
        .current_dir(&tree));
    fs::remove_dir_all(tree).unwrap();
    disk
}

pub fn kernel() -> PathBuf {
    let boot = root().join("target/tools/vm-kernel/boot");
    let found = fs::read_dir(&boot)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("/vmlinuz-"));
    found.unwrap_or_else(|| {
        panic!(
            "no kernel in {}; scripts/test-tools.sh fetches one",
            boot.display()
        )
    })
}

#[test]
fn on_a_machine_with_control_groups_jobs_get_what_they_reserved_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (all, held) = boot(&ram_disk(dir.path()), "quiet");
    assert!(!all.contains("vm: not ok"), "{all}");
    assert_eq!(held, 22, "{all}");
}

/// Boots the kernel with this RAM disk and waits until it says `vm: end`. Gives all that it said, and how many things held.
pub fn boot(disk: &Path, words: &str) -> (String, usize) {
    let accel = std::env::var("FFRTMP_VM_ACCEL").unwrap_or_else(|_| "tcg".to_owned());
    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-accel", &accel, "-cpu", "max", "-smp", "1", "-m", "3072"])
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ])
        .args(["-append", &format!("console=ttyS0 panic=-1 {words}")])
        .arg("-kernel")
        .arg(kernel())
        .arg("-initrd")
        .arg(disk)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (
        machine.stdout.take().unwrap(),
        machine.stderr.take().unwrap(),
    );
    let _machine = Process { child: machine };
    let (lines, inbox) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(&mut out).split(b'\n').map_while(Result::ok) {
            let _ = lines.send(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let (mut said, mut held, mut ended) = (Vec::new(), 0, false);
    while !ended {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = inbox.recv_timeout(left) else {
            break;
        };
        if let Some((_, line)) = line.split_once("vm: ") {
            println!("{line}");
            held += usize::from(line.starts_with("ok "));
            ended = line == "end";
        }
        said.push(line);
    }
    let all = said.join("\n");
    if !ended {
        drop(_machine);
        let mut trouble = String::new();
        let _ = err.read_to_string(&mut trouble);
        panic!("it did not come to its end:\n{all}\n{trouble}");
    }
    (all, held)
}
