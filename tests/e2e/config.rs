//! Settings on the real binary: files, variables and flags; `config show|check|init`; SIGHUP.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use rustix::process::Signal;

use crate::cluster::{Cluster, FFRTMP, free_port, until};

/// `ffrtmp` in a folder of its own, without settings from elsewhere.
fn ffrtmp(home: &std::path::Path, words: &[&str]) -> Command {
    let mut command = Command::new(FFRTMP);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .current_dir(home)
        .args(words);
    command
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn run(command: &mut Command) -> (i32, String, String) {
    said(command.output().unwrap())
}

#[test]
fn a_client_finds_its_master_in_its_file() {
    let cluster = Cluster::with_master();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".config/ffrtmp")).unwrap();
    let file = home.path().join(".config/ffrtmp/config.toml");
    fs::write(
        &file,
        format!(
            "[client]\nmaster = \"{}\"\nformat = \"json\"\n",
            cluster.url()
        ),
    )
    .unwrap();
    let (code, out, err) = run(&mut ffrtmp(home.path(), &["jobs", "list"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with('{') && out.contains("\"jobs\""), "{out}");
    let (_, out, _) = run(&mut ffrtmp(home.path(), &["config", "show", "-o", "json"]));
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    let master = &shown["settings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|setting| setting["key"] == "master")
        .unwrap()
        .clone();
    assert_eq!(master["value"], cluster.url().as_str());
    assert_eq!(master["from"], "file");
    assert_eq!(
        (master["path"].as_str(), master["line"].as_u64()),
        (file.to_str(), Some(2))
    );
    // XDG_CONFIG_HOME goes before ~/.config, and a variable before any file.
    let xdg = home.path().join("xdg");
    fs::create_dir_all(xdg.join("ffrtmp")).unwrap();
    fs::write(
        xdg.join("ffrtmp/config.toml"),
        "[client]\nmaster = \"http://xdg:1\"\n",
    )
    .unwrap();
    let (_, out, _) = run(ffrtmp(home.path(), &["config", "show"]).env("XDG_CONFIG_HOME", &xdg));
    assert!(out.contains("http://xdg:1"), "{out}");
    let (_, out, _) = run(ffrtmp(home.path(), &["config", "show"])
        .env("XDG_CONFIG_HOME", &xdg)
        .env("FFRTMP_MASTER", "http://variable:1"));
    assert!(out.contains("http://variable:1  FFRTMP_MASTER"), "{out}");
    cluster.finish();
}

#[test]
fn a_master_takes_its_settings_from_flag_variable_and_file_in_this_order() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ffrtmp.toml");
    fs::write(
        &file,
        "[master]\nlease = \"44s\"\nheartbeat = \"4s\"\npolicy = \"binpack\"\n",
    )
    .unwrap();
    let name = file.to_str().unwrap();
    let (code, out, err) = run(ffrtmp(home.path(), &["config", "show", "master"])
        .env("FFRTMP_CONFIG", name)
        .env("FFRTMP_MASTER_HEARTBEAT", "5s")
        .env("FFRTMP_TOKEN", "a-secret-of-16-or-more"));
    assert_eq!((code, err.as_str()), (0, ""));
    let line = |key: &str| {
        let line = out.lines().find(|line| line.starts_with(key));
        line.unwrap_or_else(|| panic!("{key} is missing in {out}"))
            .split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("lease"), format!("44s {name}:2"));
    assert_eq!(line("heartbeat"), "5s FFRTMP_MASTER_HEARTBEAT");
    assert_eq!(line("policy "), format!("binpack {name}:4"));
    assert_eq!(line("listen"), "127.0.0.1:8080 default");
    assert_eq!(line("token "), "(set, not shown) FFRTMP_TOKEN");
    assert!(!out.contains("a-secret"), "{out}");
}

#[test]
fn the_file_that_init_writes_is_kept_and_checks_clean() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, _) = run(&mut ffrtmp(home.path(), &["config", "init", "f.toml"]));
    assert_eq!(
        (code, out.as_str()),
        (0, "f.toml is written; nothing in it is set yet\n")
    );
    let (code, _, err) = run(&mut ffrtmp(home.path(), &["config", "init", "f.toml"]));
    assert_eq!(
        (code, err.as_str()),
        (
            1,
            "ffrtmp: f.toml is there already; --force replaces it, another name leaves it\n"
        )
    );
    fs::write(home.path().join("f.toml"), "[mater]\n").unwrap();
    let (code, ..) = run(&mut ffrtmp(
        home.path(),
        &["config", "init", "--force", "f.toml"],
    ));
    assert_eq!(code, 0);
    let text = fs::read_to_string(home.path().join("f.toml")).unwrap();
    for key in [
        "#lease = \"30s\"",
        "#slots = 4",
        "FFRTMP_MASTER_LISTEN",
        "[client]",
        "[up]",
    ] {
        assert!(text.contains(key), "{key} is missing in {text}");
    }
    let (code, out, err) = run(&mut ffrtmp(
        home.path(),
        &["config", "check", "f.toml", "--part", "client"],
    ));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("ok       config file: f.toml makes sense"),
        "{out}"
    );
}

#[test]
fn check_names_everything_that_would_stop_or_worry_a_start() {
    let cluster = Cluster::with_master();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("policies")).unwrap();
    fs::write(home.path().join("policies/junk.wasm"), "junk").unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    fs::write(home.path().join("token"), "sixteen-characters-or-more").unwrap();
    fs::set_permissions(home.path().join("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let (data, port, free) = (cluster.file("data"), cluster.port, free_port());
    fs::write(
        home.path().join("f.toml"),
        format!(
            "[master]\nlisten = \"0.0.0.0:{port}\"\nmetrics_listen = \"127.0.0.1:{free}\"\ndata_dir = \"{data}\"\n\
             lease = \"6s\"\npolicies = \"policies\"\ntoken_file = \"token\"\n\
             [worker]\nmaster = \"{url}\"\ntoken_file = \"token\"\nffmpeg = \"/bin/true\"\nstate_dir = \"file\"\n",
            url = cluster.url(),
        ),
    )
    .unwrap();
    let (code, out, err) = run(&mut ffrtmp(home.path(), &["config", "check", "f.toml"]));
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    for line in [
        "ok       config file: f.toml makes sense".to_owned(),
        format!(
            "warning  master listen: 0.0.0.0:{port} is reachable from other machines without TLS"
        ),
        format!("error    master listen: port {port} is taken"),
        format!("ok       master metrics_listen: 127.0.0.1:{free} is free"),
        "error    master settings: the lease (6s) must be at least three heartbeats (5s each)"
            .to_owned(),
        format!("error    master data_dir: the data directory {data} is in use by another master"),
        "warning  master policies: junk.wasm is no WebAssembly".to_owned(),
        "error    worker state_dir:".to_owned(),
        "error    worker ffmpeg: /bin/true is not ffmpeg".to_owned(),
        format!("ok       worker master: {} is ready", cluster.url()),
        "errors, ".to_owned(),
    ] {
        assert!(out.contains(&line), "{line:?} is missing in\n{out}");
    }
    let (code, out, _) = run(&mut ffrtmp(
        home.path(),
        &[
            "config", "check", "f.toml", "--part", "worker", "-o", "json",
        ],
    ));
    assert_eq!(code, 1);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(
        json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["level"] == "error")
    );
    cluster.finish();
}

/// A cluster whose master and worker read this file and no variable about logging.
fn with_file(text: &str) -> Cluster {
    let mut cluster = Cluster::new();
    fs::write(cluster.path("ffrtmp.toml"), text).unwrap();
    let mut command = cluster.command("master");
    let child = command
        .env_remove("RUST_LOG")
        .env("FFRTMP_CONFIG", cluster.path("ffrtmp.toml"))
        .args(cluster.master_args())
        .spawn()
        .unwrap();
    cluster.master = Some(crate::cluster::Process { child });
    cluster.until_ready();
    cluster
}

#[test]
fn sighup_takes_over_what_it_can_and_says_what_waits_for_a_restart() {
    let cluster = with_file("[master]\nlog_level = \"warn\"\n");
    let file = cluster.path("ffrtmp.toml");
    assert!(
        !cluster.log("master").contains("the master is ready"),
        "info is not logged"
    );
    let hang_up = |text: &str| {
        fs::write(&file, text).unwrap();
        cluster.master.as_ref().unwrap().signal(Signal::HUP);
    };
    let logged = |text: &str| {
        until(&format!("the log says {text:?}"), || {
            cluster.log("master").contains(text).then_some(())
        });
    };
    hang_up("[master]\nlog_level = \"info\"\nlease = \"90s\"\n");
    logged("SIGHUP: this setting is changed key=\"log_level\" was=\"warn\" is=\"info\"");
    logged(
        "SIGHUP: this setting takes effect at the next start key=\"lease\" was=\"30s\" is=\"90s\"",
    );
    hang_up("[master]\nlog_level = \"info\"\nrate_limit = 3\n");
    logged("SIGHUP: this setting is changed key=\"rate_limit\" was=\"default\" is=\"3\"");
    until("the new limit holds", || {
        let answers = (0..20).map(|_| crate::http::ask(cluster.port, "GET", "/v1/nodes").status);
        answers
            .into_iter()
            .any(|status| status == 429)
            .then_some(())
    });
    hang_up("[master]\nlog_level = \"info\"\n");
    logged("SIGHUP: this setting is changed key=\"rate_limit\" was=\"3\" is=\"default\"");
    // A file with a mistake changes nothing, not even what is right in it.
    hang_up("[master]\nlog_level = \"error\"\nlese = \"90s\"\n");
    logged("SIGHUP: nothing is changed, because the settings make no sense");
    logged("ffrtmp.toml:3: [master] lese: there is no such setting; did you mean lease?");
    hang_up("[master]\nlog_level = \"info\"\n");
    until("at info, reading is logged", || {
        let log = cluster.log("master");
        (log.matches("the settings are read again").count() >= 1).then_some(())
    });
    assert!(cluster.client().ready(), "and it goes on serving");
    cluster.finish();
}

#[test]
fn sighup_reaches_a_worker_and_does_not_end_it() {
    let mut cluster = Cluster::with_master();
    fs::write(cluster.path("w.toml"), "[worker]\nlog_level = \"error\"\n").unwrap();
    let file = cluster.file("w.toml");
    // A flag would go before the file: only the environment's RUST_LOG is taken away.
    let mut command = cluster.command("w1");
    let child = command
        .env_remove("RUST_LOG")
        .args(["worker", "--config", &file, "--name", "w1", "--no-metrics"])
        .args(["--state-dir", &cluster.file("state")])
        .spawn()
        .unwrap();
    cluster
        .workers
        .insert("w1".into(), (crate::cluster::Process { child }, 0));
    until("it joins", || {
        let nodes = cluster.client().nodes().ok()?.nodes;
        (!nodes.is_empty()).then_some(())
    });
    fs::write(
        &file,
        "[worker]\nlog_level = \"debug\"\nslots = 7\nlabel = { zone = \"eu\" }\n",
    )
    .unwrap();
    cluster.worker("w1").signal(Signal::HUP);
    until("it says so", || {
        let log = cluster.log("w1");
        (log.contains("this setting is changed key=\"log_level\" was=\"error\" is=\"debug\"")
            && log
                .contains("takes effect at the next start key=\"slots\" was=\"default\" is=\"7\""))
        .then_some(())
    });
    until("the master knows the new label", || {
        let nodes = cluster.client().nodes().ok()?.nodes;
        (nodes[0].labels.get("zone").map(String::as_str) == Some("eu")).then_some(())
    });
    let nodes = cluster.client().nodes().unwrap().nodes;
    assert_eq!(nodes[0].status, ffrtmp_api::rest::NodeStatus::Available);
    cluster.finish();
}
