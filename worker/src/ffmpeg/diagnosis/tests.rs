//! What ffmpeg really said, against the table: every sample is read as its head says, every sign of the table has a sample, and
//! what can be provoked on this machine is provoked again, so that no sample is a fossil.
//!
//! `FFRTMP_WRITE_SAMPLES=1` writes what is provoked into the samples. A command is a line for `sh`, run in a folder that holds
//! `film.mp4`; `$FF` is ffmpeg with the switches a worker gives it, `{http}` and the like are ports of real servers.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::*;

const FF: &str = "ffmpeg -nostdin -hide_banner -nostats -y";
const PATIENCE: Duration = Duration::from_secs(60);

/// One sample: a head of `name: value` lines, `---`, and what was said.
struct Sample {
    path: PathBuf,
    head: BTreeMap<String, String>,
    said: String,
}

impl Sample {
    fn of(path: PathBuf) -> Sample {
        let text = fs::read_to_string(&path).unwrap();
        let (head, said) = text.split_once("---\n").unwrap();
        let head = head
            .lines()
            .map(|line| {
                let (name, value) = line
                    .split_once(": ")
                    .unwrap_or_else(|| panic!("{}: {line}", path.display()));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        Sample {
            head,
            said: said.to_owned(),
            path,
        }
    }

    fn field(&self, name: &str) -> &str {
        self.head
            .get(name)
            .unwrap_or_else(|| panic!("{} has no {name}", self.path.display()))
    }

    fn name(&self) -> String {
        self.path
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    }

    /// `exit 1` or `signal 9`.
    fn status(&self) -> ExitStatus {
        let (kind, number) = self.field("status").split_once(' ').unwrap();
        let number: i32 = number.parse().unwrap();
        match kind {
            "exit" => ExitStatus::from_raw(number << 8),
            "signal" => ExitStatus::from_raw(number),
            _ => panic!("{}: {kind}", self.path.display()),
        }
    }

    /// What is wrong with how it is read, if anything is.
    fn judge(&self) -> Option<String> {
        let failure = explain(self.status(), self.said.lines().rev());
        let right = failure.reason.as_str() == self.field("reason")
            && failure.message.contains(self.field("says"));
        (!right).then(|| format!("{}: {failure:?}, of:\n{}", self.name(), self.said))
    }
}

fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.into_iter().map(Sample::of).collect()
}

#[test]
fn every_sample_is_read_as_its_head_says() {
    let all = samples();
    assert!(all.len() > 50, "{} samples", all.len());
    let wrong: Vec<String> = all.iter().filter_map(Sample::judge).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_sign_of_the_table_stands_in_a_sample() {
    let all = samples();
    let unseen: Vec<&str> = table::signs()
        .filter(|sign| !all.iter().any(|sample| sample.said.contains(sign)))
        .collect();
    assert!(unseen.is_empty(), "no sample holds {unseen:?}");
}

#[test]
fn what_can_be_provoked_is_still_said_so() {
    let servers = Servers::start();
    let writes = std::env::var_os("FFRTMP_WRITE_SAMPLES").is_some();
    let root = rustix::process::geteuid().is_root();
    let mut wrong = Vec::new();
    for mut sample in samples() {
        let Some(command) = sample.head.get("command") else {
            assert!(!sample.field("source").is_empty());
            continue;
        };
        if sample.head.contains_key("needs") && !root {
            eprintln!("not provoked: {} needs root", sample.name());
            continue;
        }
        let (status, said) = provoke(command, sample.head.get("sends"), &servers);
        if writes {
            sample.said = said.clone();
            let ended = match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or_default()),
            };
            sample.head.insert("status".to_owned(), ended);
            let head: String = sample
                .head
                .iter()
                .map(|(name, value)| format!("{name}: {value}\n"))
                .collect();
            fs::write(&sample.path, format!("{head}---\n{said}")).unwrap();
        }
        // Other versions word things their own way; what is made of it must be the same.
        let made = explain(status, said.lines().rev());
        if made.reason.as_str() != sample.field("reason") || status.success() {
            wrong.push(format!(
                "{}: {made:?}, {status}, of:\n{said}",
                sample.name()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a command to its end; once it encodes it is sent a signal, if one is named.
fn provoke(command: &str, sends: Option<&String>, servers: &Servers) -> (ExitStatus, String) {
    let dir = tempfile::tempdir().unwrap();
    let film = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/media/bigbuckbunny.mp4");
    fs::copy(film, dir.path().join("film.mp4")).unwrap();
    let mut command = command.to_owned();
    for (name, value) in servers.names() {
        command = command.replace(&format!("{{{name}}}"), &value);
    }
    let mut child = Command::new("sh")
        .args(["-c", &command])
        .env("FF", FF)
        .env_remove("http_proxy")
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let watchdog = Watchdog::of(pid);
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    if let Some(signal) = sends {
        let number: i32 = signal.parse().unwrap();
        let mut line = String::new();
        while !line.contains("Output #0") {
            said.push_str(&std::mem::take(&mut line));
            assert!(stderr.read_line(&mut line).unwrap() > 0, "{said}");
        }
        said.push_str(&line);
        // SAFETY: a plain system call; the child is not reaped, so the number is its own.
        assert_eq!(unsafe { libc::kill(pid.as_raw_nonzero().get(), number) }, 0);
    }
    stderr.read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    drop(watchdog);
    (status, servers.anonymous(&said, dir.path()))
}

/// Ends a command that does not end.
struct Watchdog {
    _alive: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    fn of(pid: rustix::process::Pid) -> Watchdog {
        let (alive, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        Watchdog { _alive: alive }
    }
}

/// Real servers that refuse in every way there is.
struct Servers {
    ports: Vec<(&'static str, u16)>,
    _folder: tempfile::TempDir,
    nginx: Child,
    srt: Child,
    _silent: TcpListener,
}

impl Servers {
    fn start() -> Servers {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let (http, https, rtmp, closed) = (free(), free(), free(), free());
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let reset = resetting();
        let srt_port = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(path.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(path.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
        let module = tools.join("ngx_rtmp_module.so");
        assert!(
            module.exists(),
            "nginx and its RTMP module are fetched by scripts/test-tools.sh"
        );
        let answers: String = [400, 401, 403, 404, 410, 425, 429, 500, 503]
            .map(|code| format!("location = /{code}.mp4 {{ return {code}; }}\n"))
            .concat();
        let (dir, module) = (path.display(), module.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {dir}/{what};\n"))
            .concat();
        let conf = format!(
            "daemon off; user root; master_process off; pid {dir}/pid; error_log {dir}/error.log info;
            load_module {module};
            events {{}}
            http {{ access_log off; {temporary}
                server {{ listen 127.0.0.1:{http}; {answers} }}
                server {{ listen 127.0.0.1:{https} ssl; ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem; }}
            }}
            rtmp {{ access_log off; server {{ listen 127.0.0.1:{rtmp};
                application denied {{ live on; deny publish all; }}
                application refused {{ live on; on_publish http://127.0.0.1:{http}/403.mp4; on_play http://127.0.0.1:{http}/403.mp4; }}
                application strict {{ live on; idle_streams off; }}
            }} }}"
        );
        fs::write(path.join("conf"), conf).unwrap();
        let nginx = Command::new(tools.join("nginx"))
            .arg("-p")
            .arg(path)
            .args(["-c", "conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let srt = Command::new("ffmpeg")
            .args([
                "-nostdin",
                "-v",
                "quiet",
                "-re",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=s=160x120",
            ])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-f", "mpegts"])
            .arg(format!(
                "srt://127.0.0.1:{srt_port}?mode=listener&passphrase=right-one-123"
            ))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("nginx listens", || {
            [http, https, rtmp]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        until("the SRT listener listens", || {
            let bound = fs::read_to_string("/proc/net/udp").unwrap();
            bound.contains(&format!("0100007F:{srt_port:04X} "))
        });
        Servers {
            ports: vec![
                ("https", https),
                ("http", http),
                ("rtmp", rtmp),
                ("closed", closed),
                ("silent", silent.local_addr().unwrap().port()),
                ("reset", reset),
                ("srt", srt_port),
            ],
            _folder: folder,
            nginx,
            srt,
            _silent: silent,
        }
    }

    fn names(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.ports
            .iter()
            .map(|(name, port)| (*name, port.to_string()))
    }

    /// Without what is another each time: addresses in memory, ports, the folder.
    fn anonymous(&self, said: &str, dir: &Path) -> String {
        let mut text = said.replace(dir.to_str().unwrap(), "/tmp/sample");
        for (name, port) in self.names() {
            text = text.replace(&format!(":{port}"), &format!(":{{{name}}}"));
        }
        let mut pieces = text.split(" @ 0x");
        let mut clean = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let rest = piece.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            clean.push_str(" @ 0x1");
            clean.push_str(rest);
        }
        // Progress is a line of its own in a log.
        clean.replace('\r', "\n")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in [&mut self.nginx, &mut self.srt] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A server that resets whoever has said something.
fn resetting() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut one = [0];
            let _ = (&stream).read(&mut one);
            let linger = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            // SAFETY: the pointer is to a live value of the type and size that SO_LINGER takes.
            unsafe {
                libc::setsockopt(
                    stream.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_LINGER,
                    (&raw const linger).cast(),
                    size_of_val(&linger) as libc::socklen_t,
                );
            }
        }
    });
    port
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn reason(raw_status: i32, log: &str) -> FailureReason {
    explain(ExitStatus::from_raw(raw_status), log.lines().rev()).reason
}

#[test]
fn the_message_is_the_last_line_that_means_something() {
    let log = "real trouble\nframe= 1 fps=2\n[libx264 @ 0x1] kb/s:1655.90\nConversion failed!\n\n";
    let failure = explain(ExitStatus::from_raw(0x100), log.lines().rev());
    assert_eq!(failure.message, "ffmpeg failed (exit code 1): real trouble");
}

#[test]
fn what_was_survived_is_not_the_cause() {
    // Frames that could not be decoded were left out; what ended it is the line behind them, whatever that means.
    for survived in [
        "Error while decoding stream #0:0: Invalid data found when processing input",
        "[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x1] Error submitting packet to decoder: Invalid data found when processing input",
        "[h264 @ 0x1] Invalid data found when processing input",
    ] {
        let log = format!("{survived}\nsomething new");
        assert_eq!(reason(0x100, &log), FailureReason::RuntimeError, "{log}");
        let log = format!("{survived}\nNo space left on device");
        assert_eq!(reason(0x100, &log), FailureReason::ResourceError, "{log}");
    }
    // Statistics do not push the cause out of sight.
    let log = format!(
        "av_interleaved_write_frame(): No space left on device\n{}",
        "[libx264 @ 0x1] mb I  I16..4: 100.0%\n".repeat(50)
    );
    assert_eq!(reason(0x100, &log), FailureReason::ResourceError);
}

#[test]
fn the_same_words_mean_another_thing_of_a_peer_than_of_a_file() {
    for (line, expected) in [
        (
            "rtmp://h/live/***: Input/output error",
            FailureReason::NetworkError,
        ),
        (
            "[tls @ 0x1] Input/output error",
            FailureReason::NetworkError,
        ),
        (
            "file:/a.mp4: Input/output error",
            FailureReason::PlatformError,
        ),
    ] {
        assert_eq!(reason(0x100, line), expected, "{line}");
    }
}
