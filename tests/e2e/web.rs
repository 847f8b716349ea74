//! Jobs that read from and write to servers: a real nginx, with its RTMP module.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ffrtmp_api::job::{FailureReason, JobSpec, JobState};

use crate::{
    cluster::{Cluster, FFRTMP, Process, footage, free_port, root, until},
    live::camera,
};

/// What must not be read anywhere.
const PASSWORD: &str = "hush4711hush";
const STREAM_KEY: &str = "key0815key";

/// nginx: `/in` and `/put` ask for a password, streams to `live` are recorded, and who watches one of `cam` is sent away when it ends.
pub struct Nginx {
    pub folder: PathBuf,
    pub http: u16,
    pub rtmp: u16,
    /// The same with TLS, by a certificate of the authority `ca.pem` in its folder; 0 where there is none.
    pub https: u16,
    pub rtmps: u16,
    pub process: Process,
}

impl Nginx {
    pub fn start(cluster: &Cluster) -> Nginx {
        Nginx::start_in(cluster, "nginx")
    }

    pub fn start_in(cluster: &Cluster, folder: &str) -> Nginx {
        Nginx::make(cluster, folder, false)
    }

    /// With TLS as well: `https` by itself, `rtmps` in front of its RTMP.
    pub fn start_with_tls(cluster: &Cluster) -> Nginx {
        let made = Command::new(FFRTMP)
            .args(["tls", "init", "--dir", &cluster.file("nginx")])
            .env("HOME", cluster.path(""))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Nginx::make(cluster, "nginx", true)
    }

    fn make(cluster: &Cluster, folder: &str, tls: bool) -> Nginx {
        let tools = root().join("target/tools");
        let module = tools.join("bin/ngx_rtmp_module.so");
        assert!(
            module.exists(),
            "nginx and its RTMP module are fetched by scripts/test-tools.sh"
        );
        let folder = cluster.path(folder);
        for name in ["www/in", "www/put", "rec", "tmp"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        fs::copy(footage(), folder.join("www/in/film.mp4")).unwrap();
        fs::write(folder.join("users"), format!("u:{{PLAIN}}{PASSWORD}\n")).unwrap();
        let (http, rtmp) = (free_port(), free_port());
        let (https, rtmps) = match tls {
            true => (free_port(), free_port()),
            false => (0, 0),
        };
        let (dir, module) = (folder.display(), module.display());
        let certificate =
            format!("ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server-key.pem;");
        let (load, listen, stream) = match tls {
            false => Default::default(),
            true => (
                format!(
                    "load_module {};",
                    tools.join("bin/ngx_stream_module.so").display()
                ),
                format!(
                    "listen 127.0.0.1:{https} ssl; listen 127.0.0.2:{https} ssl; {certificate}"
                ),
                format!(
                    "stream {{ server {{ listen 127.0.0.1:{rtmps} ssl; {certificate}
                    proxy_pass 127.0.0.1:{rtmp}; }} }}"
                ),
            ),
        };
        let conf = format!(
            "daemon off; user root; master_process off; pid {dir}/pid; error_log {dir}/error.log info;
            load_module {module}; {load}
            events {{}} {stream}
            http {{
                access_log off;
                client_body_temp_path {dir}/tmp/b; proxy_temp_path {dir}/tmp/p; fastcgi_temp_path {dir}/tmp/f;
                uwsgi_temp_path {dir}/tmp/u; scgi_temp_path {dir}/tmp/s;
                server {{
                    listen 127.0.0.1:{http}; {listen} root {dir}/www; client_max_body_size 100m;
                    location / {{}}
                    location /in/ {{ auth_basic x; auth_basic_user_file {dir}/users; }}
                    location /put/ {{ auth_basic x; auth_basic_user_file {dir}/users; dav_methods PUT; }}
                }}
            }}
            rtmp {{ access_log off; server {{
                listen 127.0.0.1:{rtmp};
                application live {{ live on; record all; record_path {dir}/rec; }}
                application cam {{ live on; idle_streams off; record all; record_path {dir}/rec; }}
            }} }}"
        );
        fs::write(folder.join("conf"), conf).unwrap();
        let process = serve(&folder);
        let nginx = Nginx {
            folder,
            http,
            rtmp,
            https,
            rtmps,
            process,
        };
        nginx.wait_until_it_listens();
        nginx
    }

    /// Starts it again, on its ports and its folder, after it was killed.
    pub fn start_again(&mut self) {
        self.process = serve(&self.folder);
        self.wait_until_it_listens();
    }

    fn wait_until_it_listens(&self) {
        until("nginx listens", || {
            [self.http, self.rtmp, self.https, self.rtmps]
                .iter()
                .filter(|port| **port != 0)
                .all(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok())
                .then_some(())
        });
    }

    fn http(&self, path: &str) -> String {
        format!("http://u:{PASSWORD}@127.0.0.1:{}/{path}", self.http)
    }

    fn rtmp(&self, key: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{key}", self.rtmp)
    }
}

fn serve(folder: &Path) -> Process {
    let child = Command::new(root().join("target/tools/bin/nginx"))
        .arg("-p")
        .arg(folder)
        .args(["-c", "conf", "-e", "error.log"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Process { child }
}

pub fn probe(path: &str) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "stream=codec_name:format=duration",
            "-of",
            "default=nw=1",
            path,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn seconds(said: &str) -> f64 {
    let line = said.lines().find_map(|line| line.strip_prefix("duration="));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_film_comes_from_a_web_server_and_goes_back_by_one_put_and_no_password_is_told() {
    let cluster = Cluster::with_worker(1);
    let nginx = Nginx::start(&cluster);
    let id = cluster.submit(JobSpec {
        input: Some(nginx.http("in/film.mp4")),
        output: Some(nginx.http("put/out.mp4")),
        size: Some("320x-2".into()),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    });
    let job = cluster.until_completed(id);
    let put = nginx.folder.join("www/put/out.mp4");
    let said = probe(put.to_str().unwrap());
    assert!(said.contains("h264") && said.contains("aac"), "{said}");
    assert_eq!(fs::metadata(&put).unwrap().len(), job.result.unwrap().bytes);
    // A server that refuses is named, without the password.
    let refused = cluster.submit(JobSpec {
        output: Some(nginx.http("elsewhere/out.mp4")),
        retries: Some(0),
        ..crate::cluster::tiny(0.2)
    });
    let failure = cluster
        .until_state(refused, &[JobState::Failed])
        .failure
        .unwrap();
    assert!(
        failure.reason == FailureReason::UserError && failure.message.contains("***@127.0.0.1"),
        "{failure:?}"
    );
    let log = cluster
        .client()
        .logs(ffrtmp_api::ids::JobRef::Seq(id))
        .unwrap()
        .text;
    assert!(log.contains("***@127.0.0.1"), "{log}");
    for text in [
        log,
        failure.message,
        cluster.log("w1"),
        cluster.log("master"),
    ] {
        assert!(!text.contains(PASSWORD), "the password is told: {text}");
    }
    cluster.finish();
}

#[test]
fn an_address_without_media_fails_at_once_and_a_playlist_reads_no_file_of_the_worker() {
    let cluster = Cluster::with_worker(1);
    let nginx = Nginx::start(&cluster);
    let secret = cluster.file("secret.ts");
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=d=1",
            "-c:v",
            "libx264",
            &secret,
        ])
        .status()
        .unwrap();
    assert!(made.success());
    for (name, segment) in [
        ("file.m3u8", format!("file://{secret}")),
        ("path.m3u8", secret.clone()),
        ("concat.m3u8", format!("concat:{secret}")),
    ] {
        let text =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{segment}\n#EXT-X-ENDLIST\n");
        fs::write(nginx.folder.join("www").join(name), text).unwrap();
    }
    for name in ["missing.mp4", "file.m3u8", "path.m3u8", "concat.m3u8"] {
        let output = cluster.file(&format!("{name}.mp4"));
        let id = cluster.submit(JobSpec {
            input: Some(format!("http://127.0.0.1:{}/{name}", nginx.http)),
            output: Some(output.clone()),
            retries: Some(0),
            ..JobSpec::default()
        });
        let job = cluster.until_state(id, &[JobState::Failed, JobState::Completed]);
        let failure = job.failure.expect(name);
        assert!(
            matches!(
                failure.reason,
                FailureReason::InputError | FailureReason::NetworkError
            ),
            "{name}: {failure:?}"
        );
        assert!(!std::path::Path::new(&output).exists(), "{name}");
    }
    cluster.finish();
}

#[test]
fn a_stream_goes_out_as_fast_as_it_plays_and_comes_in_as_a_file() {
    let cluster = Cluster::with_worker(2);
    let nginx = Nginx::start(&cluster);
    let out = cluster.submit(JobSpec {
        output: Some(nginx.rtmp(STREAM_KEY)),
        duration_seconds: Some(3.0),
        size: Some("320x180".into()),
        ..JobSpec::default()
    });
    let result = cluster.until_completed(out).result.unwrap();
    assert!(result.wall_seconds > 2.0, "{result:?}");
    let recorded = nginx.folder.join(format!("rec/{STREAM_KEY}.flv"));
    let said = until("nginx has closed its recording", || {
        let said = probe(recorded.to_str()?);
        (seconds(&said) > 2.0).then_some(said)
    });
    assert!(said.contains("h264") && said.contains("aac"), "{said}");
    for text in [cluster.log("w1"), cluster.log("master")] {
        assert!(!text.contains(STREAM_KEY), "the stream key is told: {text}");
    }

    // With a key frame every second: who comes in between waits for the next to see anything.
    let _camera = camera(&nginx.rtmp("camera"));
    until("the camera is on", || {
        nginx.folder.join("rec/camera.flv").exists().then_some(())
    });
    let file = cluster.file("seen.mp4");
    let seen = cluster.submit(JobSpec {
        input: Some(nginx.rtmp("camera")),
        output: Some(file.clone()),
        duration_seconds: Some(2.0),
        size: Some("320x-2".into()),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    });
    let result = cluster.until_completed(seen).result.unwrap();
    assert!((1.5..3.0).contains(&result.duration_seconds), "{result:?}");
    assert_eq!((result.width, result.height), (320, 180));
    cluster.finish();
}
