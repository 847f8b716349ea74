//! The systemd units, started for real: in a virtual machine whose first process is the distribution's systemd.
//!
//! Machines that tests run on often have another first process, and none should get services from a test. The root is a RAM disk with
//! systemd, ffmpeg, `ffrtmp` and the files of `deploy/systemd`, unchanged and where `make install` puts them; what must hold is in
//! `tests/vm/services.sh`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    cluster::{FFRTMP, root},
    vm::{boot, run, with_libraries},
};

/// Programs of the machine, by the names under which their packages install them.
const PROGRAMS: [&str; 14] = [
    "/lib/systemd/systemd",
    "/lib/systemd/systemd-executor",
    "/lib/systemd/systemd-journald",
    "/lib/systemd/systemd-shutdown",
    "/usr/bin/systemctl",
    "/usr/bin/journalctl",
    "/usr/bin/systemd-sysusers",
    "/usr/bin/systemd-tmpfiles",
    "/usr/bin/ffmpeg",
    "/usr/bin/ffprobe",
    "/usr/bin/setpriv",
    "/usr/bin/mount",
    "/usr/bin/umount",
    "/usr/sbin/nologin",
];

/// Copies a file to the same place in the tree, without a debugger's part.
fn put(tree: &Path, file: &Path) {
    let copy = tree.join(file.strip_prefix("/").unwrap());
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(file, &copy).unwrap();
}

fn write(tree: &Path, place: &str, text: &str) {
    let file = tree.join(place);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    let mode = if place == "init" { 0o755 } else { 0o644 };
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// The RAM disk, as a file.
fn ram_disk(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    for folder in [
        "proc", "sys", "dev", "run", "tmp", "var/tmp", "srv", "root", "usr/lib", "usr/bin",
        "usr/sbin",
    ] {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
    // As every distribution has it by now.
    for folder in ["lib", "bin", "sbin"] {
        symlink(format!("usr/{folder}"), tree.join(folder)).unwrap();
    }
    symlink("usr/lib64", tree.join("lib64")).unwrap();
    fs::create_dir_all(tree.join("usr/lib64")).unwrap();
    let mut files = BTreeSet::new();
    for program in PROGRAMS
        .iter()
        .map(Path::new)
        .filter(|program| program.exists())
    {
        files.insert(program.to_owned());
        files.extend(with_libraries(program.to_str().unwrap()));
    }
    files.extend(with_libraries(FFRTMP));
    for file in files {
        put(&tree, &file);
    }
    run(Command::new("cp")
        .args(["-a", "/lib/systemd/system"])
        .arg(tree.join("usr/lib/systemd/system")));
    symlink("busybox", tree.join("usr/bin/kill")).unwrap();
    for (from, place) in [
        ("/bin/busybox", "usr/bin/busybox"),
        ("tests/vm/services.sh", "usr/local/bin/services.sh"),
        (
            "policies/balanced.wasm",
            "etc/ffrtmp/policies/balanced.wasm",
        ),
        (
            "deploy/systemd/ffrtmp-master.service",
            "etc/systemd/system/ffrtmp-master.service",
        ),
        (
            "deploy/systemd/ffrtmp-worker.service",
            "etc/systemd/system/ffrtmp-worker.service",
        ),
        (
            "deploy/systemd/ffrtmp.sysusers.conf",
            "usr/lib/sysusers.d/ffrtmp.conf",
        ),
        (
            "deploy/systemd/ffrtmp.tmpfiles.conf",
            "usr/lib/tmpfiles.d/ffrtmp.conf",
        ),
        ("deploy/systemd/master.env", "etc/ffrtmp/master.env"),
        ("deploy/systemd/worker.env", "etc/ffrtmp/worker.env"),
    ] {
        let copy = tree.join(place);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(root().join(from), copy).unwrap();
    }
    run(Command::new("objcopy")
        .args(["--strip-debug", FFRTMP])
        .arg(tree.join("usr/local/bin/ffrtmp")));
    write(
        &tree,
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    );
    write(&tree, "etc/group", "root:x:0:\nnogroup:x:65534:\n");
    write(
        &tree,
        "etc/machine-id",
        "0123456789abcdef0123456789abcdef\n",
    );
    write(&tree, "etc/os-release", "NAME=test\nID=test\n");
    write(
        &tree,
        "etc/systemd/system/try.service",
        "[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nExecStart=/usr/bin/busybox sh /usr/local/bin/services.sh\n\
         StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/console\n[Install]\n",
    );
    write(
        &tree,
        "etc/systemd/system/try.target",
        "[Unit]\nRequires=basic.target try.service\nAfter=basic.target\nAllowIsolate=yes\n",
    );
    // systemd needs a root of its own below it, as it has on every machine: services get views of it.
    write(
        &tree,
        "init",
        "#!/usr/bin/busybox sh\nb=/usr/bin/busybox\n$b mount -t tmpfs -o size=90%,mode=755 root /root\n\
         for f in usr etc lib lib64 bin sbin srv var tmp run proc sys dev; do $b cp -a /$f /root/; done\n$b mkdir -p /root/root\n\
         exec $b switch_root /root /lib/systemd/systemd </dev/console >/dev/console 2>&1\n",
    );
    let disk = dir.join("initrd");
    run(Command::new("sh")
        .args(["-c", "find . | busybox cpio -o -H newc > ../initrd"])
        .stderr(Stdio::null())
        .current_dir(&tree));
    fs::remove_dir_all(tree).unwrap();
    disk
}

#[test]
fn the_units_start_drain_and_come_back_under_systemd() {
    let dir = tempfile::tempdir().unwrap();
    let (all, held) = boot(
        &ram_disk(dir.path()),
        "quiet systemd.unit=try.target systemd.show_status=0 systemd.log_target=console systemd.log_level=warning \
         systemd.unified_cgroup_hierarchy=1 systemd.default_timeout_start_sec=600",
    );
    assert!(!all.contains("vm: not ok"), "{all}");
    assert_eq!(held, 22, "{all}");
}
