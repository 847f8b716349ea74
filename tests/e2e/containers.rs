//! What `deploy/compose.yaml` runs, run: its command lines, files, mounts, users and health checks, with the programs of this machine
//! in the place of the images.
//!
//! A service gets a root of its own that cannot be written, no capabilities, the user of its image, what the composition mounts
//! where it mounts it, and the others by name on a network of their own: the parts of a container that a file can get wrong. It needs no
//! container engine; namespaces it does need. Grafana is not run: no distribution has it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    cluster::{FFRTMP, Process, footage, root, until},
    deployment::{checkout, compose},
};

/// What makes a container of a folder: the root, then words as `bind:SOURCE:TARGET:ro` and `tmpfs:TARGET`, then `--` and the command.
const MAKE: &str = r#"
r=$1; shift
mount -t tmpfs -o mode=755 root "$r"
mkdir -p "$r/usr" "$r/proc" "$r/dev" "$r/etc" "$r/opt" "$r/run"
mount --rbind /usr "$r/usr"
mount -o remount,ro,bind "$r/usr"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$r/$name"; done
mount --rbind /dev "$r/dev"
mount -t proc proc "$r/proc"
while [ "$1" != -- ]; do
    IFS=: read -r kind source target how <<END
$1
END
    if [ "$kind" = tmpfs ]; then
        mkdir -p "$r$source"
        mount -t tmpfs -o mode=1777 tmpfs "$r$source"
    else
        mkdir -p "$r$(dirname "$target")"
        if [ -d "$source" ]; then mkdir -p "$r$target"; else : >"$r$target"; fi
        mount --bind "$source" "$r$target"
        if [ "$how" = ro ]; then mount -o remount,ro,bind "$r$target"; fi
    fi
    shift
done
shift
mount -o remount,ro "$r"
exec chroot "$r" "$@"
"#;

/// A service that runs.
struct Container {
    process: Process,
    /// What a process of its is started with: user, capabilities, environment.
    entry: Vec<String>,
    log: PathBuf,
}

impl Container {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs a command in it.
    fn exec(&self, words: &[String]) -> Output {
        let pid = self.process.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        Command::new("nsenter")
            .args(["-t", children.trim(), "-m", "-n", "-p", "-r", "-w"])
            .args(&self.entry)
            .args(words)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let output = self.exec(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The composition, and the network its services are on.
struct Farm {
    dir: TempDir,
    whole: Value,
    /// Holds the network.
    network: Process,
    running: BTreeMap<String, Container>,
}

impl Farm {
    /// Says why not, where the system does not let us.
    fn new() -> Result<Farm, String> {
        let allowed = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "true"])
            .output()
            .map_err(|error| error.to_string())?;
        if !allowed.status.success() {
            return Err(String::from_utf8_lossy(&allowed.stderr).into_owned());
        }
        let dir = checkout();
        let whole = compose(dir.path(), &["compose.yaml"]);
        let network = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let network = Process { child: network };
        let mut farm = Farm {
            dir,
            whole,
            network,
            running: BTreeMap::new(),
        };
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        // It is in its own network only when `unshare` has made it.
        let pid = farm.network.child.id();
        until("the network is there", || {
            let own = fs::read_link("/proc/self/ns/net").unwrap();
            (fs::read_link(format!("/proc/{pid}/ns/net")).ok()? != own).then_some(())
        });
        farm.ip(&["link", "set", "lo", "up"]);
        for (i, name) in farm.names().iter().enumerate() {
            let address = format!("10.77.0.{}", i + 2);
            farm.ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
            hosts.push_str(&format!("{address} {name}\n"));
        }
        fs::write(farm.path("hosts"), hosts).unwrap();
        Ok(farm)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let services = self.whole["services"].as_object().unwrap();
        services.keys().cloned().collect()
    }

    fn ip(&mut self, words: &[&str]) {
        let pid = self.network.child.id().to_string();
        let status = Command::new("nsenter")
            .args(["-t", &pid, "-n", "ip"])
            .args(words)
            .status();
        assert!(status.unwrap().success(), "ip {words:?}");
    }

    /// Starts a service: `programs` are what its image has beside the system.
    fn start(&mut self, name: &str, user: u32, command: &[&str], programs: &[(&Path, &str)]) {
        let service = self.whole["services"][name].clone();
        let home = self.path("containers").join(name);
        fs::create_dir_all(home.join("root")).unwrap();
        let mut mounts: Vec<String> = vec![format!(
            "bind:{}:/etc/hosts:ro",
            self.path("hosts").display()
        )];
        // Where this system's libraries are found.
        for file in ["/etc/alternatives", "/etc/ld.so.cache"] {
            mounts.push(format!("bind:{file}:{file}:ro"));
        }
        for (program, place) in programs {
            mounts.push(format!("bind:{}:{place}:ro", program.display()));
        }
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let target = mount["target"].as_str().unwrap();
            let source = match mount["type"].as_str().unwrap() {
                "bind" => PathBuf::from(mount["source"].as_str().unwrap()),
                // As an engine makes one: with the owner of the image's folder.
                _ => {
                    let volume = home.join(target.replace('/', "_"));
                    fs::create_dir_all(&volume).unwrap();
                    chown(&volume, Some(user), Some(user)).unwrap();
                    volume
                }
            };
            let how = if mount["read_only"] == true {
                "ro"
            } else {
                "rw"
            };
            mounts.push(format!("bind:{}:{target}:{how}", source.display()));
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            let file = &self.whole["secrets"][secret["source"].as_str().unwrap()]["file"];
            let target = secret["target"].as_str().unwrap();
            mounts.push(format!("bind:{}:{target}:ro", file.as_str().unwrap()));
        }
        for tmpfs in service["tmpfs"].as_array().into_iter().flatten() {
            mounts.push(format!("tmpfs:{}", tmpfs.as_str().unwrap()));
        }
        let user = user.to_string();
        let mut entry: Vec<String> = [
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "env",
            "-i",
            "PATH=/opt:/usr/sbin:/usr/bin",
            "HOME=/",
        ]
        .map(str::to_owned)
        .to_vec();
        entry.extend(image_environment(name));
        for (key, value) in service["environment"].as_object().into_iter().flatten() {
            entry.push(format!("{key}={}", value.as_str().unwrap()));
        }
        let given = service["command"].as_array().into_iter().flatten();
        let words: Vec<String> = command
            .iter()
            .map(|word| (*word).to_owned())
            .chain(given.map(|word| word.as_str().unwrap().to_owned()))
            .collect();
        let log = home.join("log");
        let output = fs::File::create(&log).unwrap();
        let network = self.network.child.id().to_string();
        let child = Command::new("nsenter")
            .args([
                "-t",
                &network,
                "-n",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--uts",
                "sh",
                "-euc",
                MAKE,
                "sh",
            ])
            .arg(home.join("root"))
            .args(mounts)
            .arg("--")
            .args(&entry)
            .args(words)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let process = Process { child };
        self.running.insert(
            name.to_owned(),
            Container {
                process,
                entry,
                log,
            },
        );
    }

    /// Waits until the composition's own health check passes.
    fn until_healthy(&self, name: &str) {
        let test = &self.whole["services"][name]["healthcheck"]["test"];
        let mut words: Vec<String> = test
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(words.remove(0), "CMD");
        if words[0] == "wget" {
            // The one those images have.
            words.insert(0, "busybox".to_owned());
        }
        let container = &self.running[name];
        let start = std::time::Instant::now();
        loop {
            let output = container.exec(&words);
            if output.status.success() {
                return;
            }
            assert!(
                start.elapsed() < crate::cluster::PATIENCE,
                "{name} does not become healthy: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                container.log()
            );
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// The answer to a GET, seen from inside the network.
    fn get(&self, url: &str) -> Option<String> {
        let words = ["busybox", "wget", "-q", "-O", "-", url].map(str::to_owned);
        let output = self.running["master"].exec(&words);
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// What `ENV` sets in a stage of the Dockerfile, `KEY=value`.
fn image_environment(stage: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("Dockerfile"))
        .unwrap()
        .replace("\\\n", " ");
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("FROM ") {
            inside = line.ends_with(&format!(" AS {stage}"));
        } else if let Some(words) = line.strip_prefix("ENV ").filter(|_| inside) {
            found.extend(words.split_whitespace().map(str::to_owned));
        }
    }
    found
}

#[test]
fn what_the_composition_runs_runs_as_it_stands_there() {
    let mut farm = match Farm::new() {
        Ok(farm) => farm,
        Err(why) => {
            eprintln!("SKIPPED: namespaces cannot be made here ({why})");
            return;
        }
    };
    let tools = root().join("target/tools");
    let ours = [(Path::new(FFRTMP), "/opt/ffrtmp")];
    farm.start("master", 10_001, &["ffrtmp"], &ours);
    farm.until_healthy("master");
    farm.start("worker", 10_001, &["ffrtmp"], &ours);
    farm.until_healthy("worker");
    let victoria = tools.join("victoria-metrics/usr/bin");
    farm.start(
        "victoriametrics",
        0,
        &["/opt/victoria/victoria-metrics"],
        &[(&victoria, "/opt/victoria")],
    );
    farm.until_healthy("victoriametrics");
    farm.start(
        "vmalert",
        0,
        &["/opt/victoria/vmalert"],
        &[(&victoria, "/opt/victoria")],
    );
    farm.until_healthy("vmalert");
    // The image's file of modules, and its configuration and command from the Dockerfile.
    let module = farm.path("module.conf");
    writeln!(
        fs::File::create(&module).unwrap(),
        "load_module /opt/ngx_rtmp_module.so;"
    )
    .unwrap();
    let (nginx, rtmp) = (
        tools.join("nginx/usr/sbin/nginx"),
        tools.join("bin/ngx_rtmp_module.so").canonicalize().unwrap(),
    );
    let conf = root().join("deploy/nginx/nginx.conf");
    let parts: [(&Path, &str); 5] = [
        (&nginx, "/opt/nginx"),
        (&rtmp, "/opt/ngx_rtmp_module.so"),
        (&module, "/etc/nginx/modules-enabled/50-mod-rtmp.conf"),
        (&conf, "/etc/nginx/nginx.conf"),
        (Path::new("/etc/passwd"), "/etc/passwd"),
    ];
    farm.start(
        "rtmp",
        10_001,
        &[
            "nginx",
            "-c",
            "/etc/nginx/nginx.conf",
            "-e",
            "stderr",
            "-g",
            "daemon off;",
        ],
        &parts,
    );
    farm.until_healthy("rtmp");

    // A job reads and writes the folder that is mounted.
    let media = farm.path("deploy/media");
    fs::copy(footage(), media.join("in.mp4")).unwrap();
    let master = &farm.running["master"];
    let token = ["--token-file", "/run/secrets/token"];
    let submit = [
        "ffrtmp",
        "jobs",
        "submit",
        "--wait",
        "--input",
        "/media/in.mp4",
        "--output",
        "/media/out.mp4",
        "--size",
        "160x90",
    ];
    master.run(&[&submit[..], &token].concat());
    assert!(fs::metadata(media.join("out.mp4")).unwrap().len() > 1_000);
    let outside = [
        "ffrtmp",
        "jobs",
        "submit",
        "--wait",
        "--input",
        "/run/secrets/token",
        "--retries",
        "0",
    ];
    let words: Vec<String> = outside
        .iter()
        .chain(&token)
        .map(|word| (*word).to_owned())
        .collect();
    let refused = master.exec(&words);
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("/run/secrets/token"),
        "{refused:?}"
    );
    // The worker's root cannot be written.
    let written = farm.running["worker"].exec(&["touch".to_owned(), "/x".to_owned()]);
    assert!(!written.status.success());

    // Metrics arrive under the names that dashboards use; rules are evaluated, and Grafana's questions about them are passed on.
    let value = |query: &str| -> Option<f64> {
        let answer: Value = serde_json::from_str(&farm.get(&format!(
            "http://victoriametrics:8428/api/v1/query?query={query}"
        ))?)
        .unwrap();
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    };
    until("the completed job is counted in VictoriaMetrics", || {
        (value("ffrtmp_jobs_total%7Bjob=%22ffrtmp-master%22,state=%22completed%22%7D")? == 1.0)
            .then_some(())
    });
    if farm.get("http://master:9090/v1/sd/workers").is_some() {
        until("the worker is found and scraped", || {
            (value("up%7Bjob=%22ffrtmp-workers%22%7D")? == 1.0).then_some(())
        });
    } else {
        eprintln!("SKIPPED: this master does not list its workers at /v1/sd/workers");
    }
    until("the rules are seen through VictoriaMetrics", || {
        farm.get("http://victoriametrics:8428/api/v1/rules")?
            .contains("FfrtmpMasterDown")
            .then_some(())
    });

    // A stream that is published can be watched.
    let publish = Command::new("nsenter")
        .args([
            "-t",
            &farm.network.child.id().to_string(),
            "-n",
            "ffmpeg",
            "-v",
            "error",
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            &footage(),
        ])
        .args(["-c", "copy", "-f", "flv", "rtmp://127.0.0.1:1935/live/cam"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let _publish = Process { child: publish };
    until("the stream is there as HLS", || {
        farm.get("http://rtmp:8088/hls/cam.m3u8")?
            .contains("#EXTINF")
            .then_some(())
    });

    // A worker that is told to end is gone within the time the composition gives it, and has said so to the master.
    let worker = farm.running.get_mut("worker").unwrap();
    let pid = worker.process.child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let inner = rustix::process::Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(inner, rustix::process::Signal::TERM).unwrap();
    let status = worker.process.wait();
    assert!(status.success(), "{status}: {}", worker.log());
    // No warning about a secret that an engine mounted.
    for name in ["master", "worker"] {
        let log = farm.running[name].log();
        assert!(!log.contains("can read the token file"), "{log}");
    }
}
