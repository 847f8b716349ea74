//! What every ffmpeg reads to run at all: programs, libraries, fonts, certificates, what the kernel tells of processors; and the
//! devices of GPUs.
//!
//! Whole folders of the distribution, because drivers and codecs are loaded by name from many places in them; of `/etc`, `/proc`,
//! `/sys` and `/dev` single entries, because secrets and other programs' affairs are there too. Nothing that is a user's: what an
//! operator keeps elsewhere is named with `--sandbox-read`.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::ffmpeg::program::Programs;

/// Programs and libraries: of a distribution, of Nix and Guix, of GPU makers.
const PROGRAMS: [&str; 17] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/run/current-system",
    "/run/opengl-driver",
    "/opt/amdgpu",
    "/opt/amdgpu-pro",
    "/opt/intel",
    "/opt/rocm",
    "/opt/cuda",
    "/snap",
];

/// Settings that libraries read, and what the kernel tells of the machine. Of what TLS reads the public half: beside it are keys.
const READS: [&str; 44] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gnutls",
    "/var/lib/ca-certificates",
    "/etc/fonts",
    "/var/cache/fontconfig",
    "/etc/localtime",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/OpenCL",
    "/etc/vulkan",
    "/etc/glvnd",
    "/etc/drirc",
    "/etc/libva.conf",
    "/etc/nvidia",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/version",
    "/proc/filesystems",
    "/proc/devices",
    "/proc/modules",
    "/proc/sys/vm",
    "/sys/devices/system",
    "/sys/kernel/mm",
    "/dev/urandom",
    "/dev/random",
];

/// Devices that everything may write to, because nothing comes of it.
pub(super) const SINKS: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// Environment variables of the worker that name further places, several with colons between.
const VARIABLES: [&str; 8] = [
    "LD_LIBRARY_PATH",
    "LIBVA_DRIVERS_PATH",
    "ONEVPL_SEARCH_PATH",
    "FONTCONFIG_FILE",
    "FONTCONFIG_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OCL_ICD_VENDORS",
];

/// Fonts of a user, below the home.
const FONTS: [&str; 5] = [
    ".fonts",
    ".fonts.conf",
    ".local/share/fonts",
    ".config/fontconfig",
    ".fontconfig",
];

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct System {
    /// What is read and run.
    pub(super) programs: Vec<PathBuf>,
    /// What is read.
    pub(super) reads: Vec<PathBuf>,
}

impl System {
    /// For these programs, with the fonts of whoever has this home.
    pub(super) fn of(programs: &Programs, home: Option<&Path>) -> System {
        let mut system = System {
            programs: PROGRAMS.map(PathBuf::from).to_vec(),
            reads: READS.map(PathBuf::from).to_vec(),
        };
        for program in [&programs.ffmpeg, &programs.ffprobe] {
            system.programs.extend(parts_of(program));
            // Most are links: the libraries of a program lie beside what they lead to.
            if let Ok(real) = program.canonicalize()
                && real != *program
            {
                system.programs.extend(parts_of(&real));
            }
        }
        for variable in VARIABLES {
            let value = env::var_os(variable).unwrap_or_default();
            let places = env::split_paths(&value).filter(|place| place.is_absolute());
            system.programs.extend(places);
        }
        if let Some(home) = home.filter(|home| home.is_absolute()) {
            system.reads.extend(FONTS.map(|place| home.join(place)));
        }
        system
    }
}

/// A program, and the libraries that come with it where it was unpacked as a whole: beside it, or beside its `bin`.
fn parts_of(program: &Path) -> Vec<PathBuf> {
    let mut parts = vec![program.to_owned()];
    let Some(folder) = program.parent() else {
        return parts;
    };
    let (whole, names): (_, &[&str]) = match folder.file_name() == Some(OsStr::new("bin")) {
        true => (
            folder.parent().unwrap_or(folder),
            &["lib", "lib32", "lib64", "share", "etc/fonts", "ssl/certs"],
        ),
        false => (folder, &["lib", "lib32", "lib64"]),
    };
    parts.extend(names.iter().map(|name| whole.join(name)));
    // Shared libraries right beside it, one by one: the folder may be somebody's home.
    let beside = fs::read_dir(folder).into_iter().flatten().flatten();
    let libraries = beside.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with("lib") && name.contains(".so")
    });
    parts.extend(libraries);
    parts
}

/// What drivers of GPUs read.
pub(super) const GPU_READS: [&str; 2] = ["/proc/driver", "/sys"];

/// Where they share memory with themselves.
pub(super) const GPU_SHARED: &str = "/dev/shm";

/// The devices of GPUs, below `root` (`/`): as they are now, because drivers make them when they are first used.
pub(super) fn gpu_devices(root: &Path) -> Vec<PathBuf> {
    let dev = root.join("dev");
    let mut devices = vec![dev.join("dri")];
    let entries = fs::read_dir(&dev).into_iter().flatten().flatten();
    devices.extend(entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with("nvidia") || name == "kfd"
    }));
    devices
}
