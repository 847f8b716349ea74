//! Webhooks: real web servers that take, refuse, hang and die, and a master that dies too. The guide's receiver is run as it stands.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex},
};

use ffrtmp_api::{
    ids::{JobRef, JobSeq},
    job::{JobSpec, JobState},
    rest::{NewToken, Role, SubmitBatch},
};
use serde_json::Value;

use crate::cluster::{Cluster, Process, free_port, root, tiny, until};

/// What a receiver was sent.
#[derive(Debug, Clone)]
struct Post {
    path: String,
    id: String,
    event: Value,
}

impl Post {
    fn job(&self) -> u64 {
        self.event["data"]["job"].as_u64().unwrap()
    }
    fn state(&self) -> &str {
        self.event["data"]["state"].as_str().unwrap()
    }
}

/// A web server. The path says what it does: `/ok`, `/hang` (until it is let go), `/fail-N` (the first N times), `/gone`,
/// `/moved`, `/on-and-on` (takes it, with an answer that has no end).
#[derive(Clone)]
struct Receiver {
    port: u16,
    state: Arc<(Mutex<Got>, Condvar)>,
}

#[derive(Default)]
struct Got {
    posts: Vec<Post>,
    let_go: bool,
}

impl Receiver {
    fn start(port: u16) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let receiver = Receiver {
            port,
            state: Arc::default(),
        };
        let serving = receiver.clone();
        // Ends with the test's process: an accept cannot be interrupted.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let receiver = serving.clone();
                std::thread::spawn(move || receiver.serve(stream));
            }
        });
        receiver
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            let found = head.iter().find_map(|line| {
                let (given, value) = line.split_once(": ")?;
                given.eq_ignore_ascii_case(name).then(|| value.to_owned())
            });
            found.unwrap_or_default()
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let path = head[0].split(' ').nth(1).unwrap().to_owned();
        let (lock, changed) = &*self.state;
        let mut got = lock.lock().unwrap();
        got.posts.push(Post {
            path: path.clone(),
            id: header("webhook-id"),
            event: serde_json::from_slice(&body).unwrap(),
        });
        let times = got.posts.iter().filter(|p| p.path == path).count();
        if path == "/hang" {
            got = changed.wait_while(got, |got| !got.let_go).unwrap();
        }
        drop(got);
        let fails = path
            .strip_prefix("/fail-")
            .is_some_and(|n| times <= n.parse().unwrap());
        let answer = match path.as_str() {
            _ if fails => "500 Internal Server Error",
            "/gone" => "410 Gone",
            "/moved" => "302 Found\r\nLocation: http://169.254.169.254/latest/meta-data",
            _ => "204 No Content",
        };
        if path == "/on-and-on" {
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n"
            );
            // Until the master hangs up.
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
        let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
    }

    fn url(&self, path: &str) -> Option<String> {
        Some(format!("http://127.0.0.1:{}{path}", self.port))
    }

    fn posts(&self) -> Vec<Post> {
        self.state.0.lock().unwrap().posts.clone()
    }

    fn let_go(&self) {
        self.state.0.lock().unwrap().let_go = true;
        self.state.1.notify_all();
    }

    /// Waits until as many posts came as there should.
    #[track_caller]
    fn until_posts(&self, count: usize) -> Vec<Post> {
        until(&format!("{count} posts come"), || {
            Some(self.posts()).filter(|posts| posts.len() >= count)
        })
    }
}

fn telling(url: Option<String>, events: &[JobState]) -> JobSpec {
    JobSpec {
        webhook: url,
        webhook_events: events.to_vec(),
        ..tiny(0.1)
    }
}

/// The states told of each job, in the order they came; what came twice counts once.
fn told(posts: &[Post]) -> BTreeMap<u64, Vec<String>> {
    let mut told: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for post in posts.iter().filter(|post| ids.insert(post.id.clone())) {
        told.entry(post.job())
            .or_default()
            .push(post.state().to_owned());
    }
    told
}

#[track_caller]
fn until_delivered(cluster: &Cluster) {
    let client = cluster.client();
    until("everything is delivered", || {
        let list = client.deliveries(None).unwrap();
        (list.waiting == 0).then_some(())
    });
}

#[test]
fn the_guide_s_receiver_takes_what_a_job_tells_and_nothing_forged() {
    let cluster = Cluster::with_worker(1);
    let guide = fs::read_to_string(root().join("docs/WEBHOOKS.md")).unwrap();
    let block = |fence: &str| {
        let rest = guide.split_once(&format!("```{fence}\n")).unwrap().1;
        rest.split_once("```").unwrap().0.to_owned()
    };
    let port = free_port().to_string();
    let secret = cluster.client().webhook_secret().unwrap().secret;
    fs::write(cluster.path("secret"), secret).unwrap();
    fs::write(
        cluster.path("receiver.py"),
        block("python").replace("9000", &port),
    )
    .unwrap();
    let mut child = Command::new("python3")
        .arg("receiver.py")
        .current_dir(cluster.dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let receiver = Process { child };
    until("the receiver listens", || {
        TcpStream::connect(format!("127.0.0.1:{port}")).ok()
    });
    let line = block("sh").trim().replace("9000", &port);
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let submitted = cluster.command("submit").args(words).status().unwrap();
    assert!(submitted.success(), "{line}: {}", cluster.log("submit"));
    let said = lines.next().unwrap().unwrap();
    assert!(said.starts_with("job.completed job 1 evt_"), "{said}");
    // A test event passes the same check; a forged one does not.
    let url = format!("http://127.0.0.1:{port}/hook");
    let tested = cluster.client().test_webhook(&url).unwrap();
    assert_eq!((tested.delivered, tested.status), (true, Some(204)));
    assert!(lines.next().unwrap().unwrap().starts_with("test job None"));
    let forged = crate::http::send(
        port.parse().unwrap(),
        "POST /hook HTTP/1.1\r\nwebhook-id: x\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\n",
        b"{}",
    );
    assert_eq!(forged.status, 401);
    drop(receiver);
    cluster.finish();
}

#[test]
fn every_change_is_told_in_order_over_a_receiver_that_was_away_and_a_master_that_was_killed() {
    let mut cluster = Cluster::with_worker(2);
    let port = free_port();
    let url = Some(format!("http://127.0.0.1:{port}/ok"));
    let jobs: Vec<JobSeq> = (0..6)
        .map(|_| cluster.submit(telling(url.clone(), JobState::ALL)))
        .collect();
    jobs.iter()
        .for_each(|id| drop(cluster.until_completed(*id)));
    let waiting = cluster.client().deliveries(None).unwrap();
    assert_eq!(waiting.waiting, 24, "four changes each: {waiting:#?}");
    let trouble = until("it was tried", || {
        let state = cluster.job(jobs[0]).webhooks.unwrap();
        state.trouble.filter(|_| state.waiting == 4)
    });
    assert!(trouble.contains("refused"), "{trouble}");
    cluster.kill_master();
    let receiver = Receiver::start(port);
    cluster.start_master();
    cluster
        .client()
        .retry_webhooks(JobRef::Seq(jobs[0]))
        .unwrap();
    receiver.until_posts(24);
    until_delivered(&cluster);
    let changes = ["pending", "assigned", "running", "completed"].map(String::from);
    for (job, states) in told(&receiver.posts()) {
        assert_eq!(states, changes, "job {job}");
    }
    assert_eq!(told(&receiver.posts()).len(), 6);
    let state = cluster.job(jobs[0]).webhooks.unwrap();
    assert_eq!((state.waiting, state.given_up, state.trouble), (0, 0, None));
    assert_eq!(cluster.metrics()["ffrtmp_webhook_pending"], 0.0);
    cluster.finish();
}

#[test]
fn what_was_sent_and_not_written_down_comes_again_with_the_same_id() {
    let mut cluster = Cluster::with_worker(1);
    let receiver = Receiver::start(free_port());
    let id = cluster.submit(telling(receiver.url("/hang"), &[]));
    cluster.until_completed(id);
    let first = receiver.until_posts(1).remove(0);
    cluster.kill_master();
    receiver.let_go();
    cluster.start_master();
    let posts = receiver.until_posts(2);
    assert_eq!((&posts[1].id, &posts[1].event), (&first.id, &first.event));
    until_delivered(&cluster);
    cluster.finish();
}

#[test]
fn a_receiver_that_hangs_delays_no_job_and_no_other_receiver() {
    let cluster = Cluster::with_worker(2);
    let (hanging, other) = (Receiver::start(free_port()), Receiver::start(free_port()));
    let jobs: Vec<JobSpec> = (0..40)
        .map(|n| match n % 2 {
            0 => telling(hanging.url("/hang"), &[]),
            _ => telling(other.url("/ok"), &[]),
        })
        .collect();
    cluster
        .client()
        .submit_batch(&SubmitBatch { jobs })
        .unwrap();
    cluster.until_all_ended();
    // All of the other's come while not one of the hanging one's was answered.
    other.until_posts(20);
    let list = until("only the hanging one's are left", || {
        let list = cluster.client().deliveries(None).unwrap();
        (list.waiting == 20).then_some(list)
    });
    let origin = format!("http://127.0.0.1:{}", hanging.port);
    assert!(list.deliveries.iter().all(|d| d.origin == origin));
    hanging.let_go();
    cluster
        .client()
        .retry_webhooks(JobRef::Seq(JobSeq(1)))
        .unwrap();
    until_delivered(&cluster);
    assert_eq!(told(&hanging.posts()).len(), 20);
    cluster.finish();
}

#[test]
fn what_is_not_taken_is_tried_again_and_what_nobody_wants_is_given_up() {
    let mut cluster = Cluster::new();
    let receiver = Receiver::start(free_port());
    let everyone = receiver.url("/ok").unwrap();
    cluster.master_flags = vec![
        "--webhook".into(),
        everyone,
        "--webhook-events=failed".into(),
    ];
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let late = cluster.submit(telling(receiver.url("/fail-1"), &[]));
    let endless = cluster.submit(telling(receiver.url("/on-and-on"), &[]));
    let unwanted = cluster.submit(telling(receiver.url("/gone"), &[]));
    let moved = cluster.submit(telling(receiver.url("/moved"), &[]));
    let failing = cluster.submit(JobSpec {
        input: Some("/nothing/here.mp4".into()),
        ..telling(None, &[])
    });
    let posts = until(
        "the first is taken at the second try, and the operator's is told",
        || {
            let posts = receiver.posts();
            let count = |path: &str| posts.iter().filter(|p| p.path == path).count();
            (count("/fail-1") == 2 && count("/ok") == 1 && count("/moved") >= 1).then_some(posts)
        },
    );
    let of_all: Vec<&Post> = posts.iter().filter(|p| p.path == "/ok").collect();
    assert_eq!(of_all[0].job(), failing.0);
    assert_eq!(of_all[0].event["data"]["failure"]["reason"], "input_error");
    let client = cluster.client();
    until("what is left is known", || {
        let list = client.deliveries(None).unwrap();
        (list.given_up == 1 && list.waiting == 1).then_some(())
    });
    let given_up = &client
        .deliveries(Some(JobRef::Seq(unwanted)))
        .unwrap()
        .deliveries[0];
    assert_eq!((given_up.next_at_ms, given_up.tries), (None, 1));
    assert!(given_up.trouble.as_deref().unwrap().contains("410"));
    let waits = &client
        .deliveries(Some(JobRef::Seq(moved)))
        .unwrap()
        .deliveries[0];
    let trouble = waits.trouble.as_deref().unwrap();
    assert!(
        trouble.contains("302") && trouble.contains("not followed"),
        "{trouble}"
    );
    for job in [late, endless] {
        let left = client.deliveries(Some(JobRef::Seq(job))).unwrap();
        assert_eq!(left.waiting, 0, "{left:?}");
    }
    let taken = receiver.posts();
    let taken = taken.iter().filter(|p| p.path == "/on-and-on").count();
    assert_eq!(taken, 1, "an answer whose body has no end is one");
    let metrics = cluster.metrics();
    assert_eq!(
        metrics["ffrtmp_webhook_deliveries_total{result=\"delivered\"}"],
        3.0
    );
    assert_eq!(
        metrics["ffrtmp_webhook_deliveries_total{result=\"given_up\"}"],
        1.0
    );
    assert!(metrics["ffrtmp_webhook_deliveries_total{result=\"failed\"}"] >= 2.0);
    assert_eq!(metrics["ffrtmp_webhook_pending"], 1.0);
    cluster.finish();
}

#[test]
fn the_master_goes_neither_to_metadata_services_nor_unasked_to_its_own_machine() {
    let mut cluster = Cluster::new();
    cluster.token = Some("a-token-of-sixteen-letters".into());
    // As one that serves other machines, on an address of this one.
    cluster.master_flags = vec!["--listen".into(), format!("0.0.0.0:{}", cluster.port)];
    let receiver = Receiver::start(free_port());
    let own = receiver.url("/ok").unwrap();
    let args = |cluster: &Cluster| -> Vec<String> {
        let args = cluster.master_args();
        let listen = args.iter().position(|arg| arg == "--listen").unwrap();
        [&args[..listen], &args[listen + 2..]].concat()
    };
    let start = |cluster: &mut Cluster, more: &[&str]| {
        let mut command = cluster.command("master");
        let child = command.args(args(cluster)).args(more).spawn().unwrap();
        cluster.master = Some(Process { child });
        cluster.until_ready();
    };
    start(&mut cluster, &[]);
    let trouble = |cluster: &Cluster, url: &str| {
        let tested = cluster.client().test_webhook(url).unwrap();
        assert!(!tested.delivered, "{url}");
        tested.trouble.unwrap()
    };
    for url in [
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
    ] {
        let said = trouble(&cluster, url);
        assert!(said.contains("no job may reach"), "{url}: {said}");
    }
    let said = trouble(&cluster, &own);
    assert!(said.contains("--webhook-allow-host"), "{said}");
    cluster.kill_master();
    start(&mut cluster, &["--webhook-allow-host", "127.0.0.1"]);
    assert!(cluster.client().test_webhook(&own).unwrap().delivered);
    // Each tenant is told its own secret, and who is none of both none.
    let token = |role, tenant: Option<&str>| {
        let new = NewToken {
            name: "t".into(),
            role,
            expires_in_seconds: None,
            tenant: tenant.map(str::to_owned),
            uses: None,
        };
        Some(cluster.client().create_token(&new).unwrap().secret)
    };
    let secret = |token| {
        cluster
            .client_with(token)
            .webhook_secret()
            .map(|s| s.secret)
    };
    let of_all = secret(cluster.token.clone()).unwrap();
    let (red, blue) = (
        secret(token(Role::Submit, Some("red"))).unwrap(),
        secret(token(Role::Submit, Some("blue"))).unwrap(),
    );
    assert!(of_all != red && red != blue);
    assert!(secret(token(Role::Submit, None)).is_err());
    assert!(secret(token(Role::Read, Some("red"))).is_err());
    cluster.finish();
}
