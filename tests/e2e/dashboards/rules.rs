//! The rules for alerts and what is recorded (`deploy/rules`): valid to Prometheus, tried by its own unit tests, and each alert with a
//! runbook. What fires on a real cluster is in `fires`.

use std::{collections::BTreeSet, fs, process::Command};

use super::{
    grafana::commands_exist,
    model::{dashboards, documented},
    queries::selectors,
    stack::asked,
};
use crate::cluster::root;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names of what is recorded.
pub fn recorded() -> BTreeSet<String> {
    let text = read("deploy/rules/recording.yml");
    let names = text
        .lines()
        .filter_map(|l| l.trim().strip_prefix("- record: "));
    names.map(str::to_owned).collect()
}

#[track_caller]
fn promtool(args: &[&str]) -> String {
    let mut promtool = Command::new("promtool");
    let Ok(done) = promtool.args(args).current_dir(root()).output() else {
        panic!("promtool is not on the PATH: `make test` puts it there");
    };
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(done.status.success(), "{said}");
    said
}

/// Names and texts of the alerts.
fn alerts() -> Vec<(String, String)> {
    let text = read("deploy/rules/alerts.yml");
    let alerts = text.split("      - alert: ").skip(1);
    alerts
        .map(|alert| (alert.lines().next().unwrap().to_owned(), alert.to_owned()))
        .collect()
}

#[test]
fn prometheus_takes_the_rules_and_their_own_tests_hold() {
    promtool(&[
        "check",
        "rules",
        "deploy/rules/alerts.yml",
        "deploy/rules/recording.yml",
    ]);
    let tests = [
        "deploy/rules/tests/alerts.yml",
        "deploy/rules/tests/recording.yml",
    ];
    promtool(&["test", "rules", tests[0], tests[1]]);
    // Each alert is seen not to fire, and to fire.
    let text = read(tests[0]);
    for (alert, _) in alerts() {
        let cases = text
            .split("      - expr: ")
            .filter(|case| case.contains(&format!("alertname=\"{alert}\"")));
        let (quiet, loud): (Vec<_>, Vec<_>) =
            cases.partition(|case| case.contains("exp_samples: []"));
        assert!(
            !quiet.is_empty() && !loud.is_empty(),
            "{alert} is not tried both ways"
        );
        assert!(loud.iter().all(|case| case.contains("value: 1")), "{alert}");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_has_a_runbook() {
    let guide = read("docs/OPERATIONS.md");
    let alerts = alerts();
    assert!(alerts.len() >= 30, "{}", alerts.len());
    for (alert, text) in &alerts {
        for part in [
            "expr: ",
            "for: ",
            "labels: { severity: ",
            "summary: ",
            "description: ",
        ] {
            assert!(text.contains(part), "{alert} has no {part}");
        }
        let severe = ["critical", "warning", "info"]
            .iter()
            .any(|s| text.contains(&format!("severity: {s} }}")));
        assert!(severe, "{alert}");
        let runbook = format!("runbook: docs/OPERATIONS.md#{}\n", alert.to_lowercase());
        assert!(text.contains(&runbook), "{alert}: {runbook}");
        let section = guide
            .split("\n### ")
            .find(|section| section.lines().next() == Some(alert));
        let section =
            section.unwrap_or_else(|| panic!("{alert} has no section in docs/OPERATIONS.md"));
        assert!(section.len() > 150, "{alert}: {section}");
    }
    let sections = guide.lines().filter_map(|l| l.strip_prefix("### "));
    for section in sections {
        assert!(
            alerts.iter().any(|(alert, _)| alert == section),
            "{section} is no alert"
        );
    }
    commands_exist("docs/OPERATIONS.md", &guide);
}

#[test]
fn recorded_names_say_level_metric_and_operation_and_all_metrics_are_in_the_code() {
    let (documented, recorded) = (documented(), recorded());
    assert!(recorded.len() >= 9);
    for name in &recorded {
        let parts: Vec<_> = name.split(':').collect();
        assert_eq!(parts.len(), 3, "{name}");
        assert!(
            documented.contains_key(parts[1]) || parts[1].starts_with("ffrtmp_"),
            "{name}"
        );
    }
    for file in ["alerts", "recording"] {
        // Folded texts have no other lines than theirs.
        let text = read(&format!("deploy/rules/{file}.yml"));
        let mut expr: Option<String> = None;
        let mut all = Vec::new();
        for line in text.lines() {
            let trimmed = line.trim();
            match (&mut expr, trimmed.strip_prefix("expr: ")) {
                (None, Some(">-")) => expr = Some(String::new()),
                (None, Some(one)) => all.push(one.to_owned()),
                (Some(_), _) if !line.starts_with("          ") => all.extend(expr.take()),
                (Some(text), _) => *text += &format!("{trimmed} "),
                _ => {}
            }
        }
        all.extend(expr);
        assert!(all.len() >= 9, "{file}: {}", all.len());
        for expr in all {
            for selector in selectors(&expr).unwrap() {
                let name = &selector.name;
                let known =
                    documented.contains_key(name) || recorded.contains(name) || name == "up";
                assert!(known, "{file}: {name} is in no code");
            }
        }
    }
}

#[test]
fn prometheus_takes_every_query_of_every_panel() {
    let mut rules = String::from("groups:\n  - name: queries\n    rules:\n");
    let mut count = 0;
    for dashboard in dashboards() {
        let panels = dashboard
            .shown()
            .flat_map(|panel| panel.targets.iter().map(|t| t.expr.as_str()));
        let annotations = dashboard.annotations.list.iter().map(|a| a.expr.as_str());
        for expr in panels.chain(annotations).filter(|expr| !expr.is_empty()) {
            count += 1;
            let expr = serde_json::Value::from(asked(expr, 15, 900));
            rules += &format!("      - {{ record: 'query:of_a_panel:{count}', expr: {expr} }}\n");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("queries.yml");
    fs::write(&file, rules).unwrap();
    let said = promtool(&["check", "rules", file.to_str().unwrap()]);
    assert!(
        said.contains(&format!("{count} rules found")) && count > 100,
        "{said}"
    );
}
