//! What Grafana would stumble over, and what the house asks of a dashboard beyond the linter: places, colours, texts, names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use super::{
    model::{Dashboard, dashboards, documented, files},
    queries::selectors,
};
use crate::cluster::root;

/// The identifiers of units in Grafana (`grafana-data`, its value formats), one a line.
const UNITS: &str = include_str!("units.txt");
/// The panels that Grafana brings along in all versions from 10 to 13.
const PANELS: [&str; 24] = [
    "alertlist",
    "annolist",
    "barchart",
    "bargauge",
    "candlestick",
    "canvas",
    "dashlist",
    "datagrid",
    "flamegraph",
    "gauge",
    "geomap",
    "heatmap",
    "histogram",
    "logs",
    "news",
    "nodeGraph",
    "piechart",
    "row",
    "stat",
    "state-timeline",
    "status-history",
    "table",
    "text",
    "timeseries",
];

/// See [`UNITS`].
pub fn units() -> BTreeSet<&'static str> {
    let units: BTreeSet<_> = UNITS.lines().collect();
    assert!(units.len() > 200 && units.contains("percentunit"));
    units
}

#[test]
fn the_files_are_what_their_sources_make() {
    let script = root().join("dashboards/source/build.py");
    let made = Command::new("python3")
        .arg(script)
        .arg("--check")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
}

#[test]
fn grafana_knows_every_panel_and_none_covers_another() {
    let mut uids = BTreeSet::new();
    for (file, json) in files() {
        let dashboard = Dashboard::of(&json);
        assert_eq!(file, dashboard.uid, "the file is called as the uid");
        assert!(dashboard.uid.len() <= 40 && uids.insert(dashboard.uid.clone()));
        assert_eq!(
            (dashboard.schema_version, &dashboard.tags[..]),
            (39, &["ffrtmp".to_owned()][..])
        );
        assert!(json.get("id").is_none(), "an id is one Grafana's own");
        let mut taken: BTreeMap<(u32, u32), &str> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for panel in &dashboard.panels {
            let at = format!("{}: {}", dashboard.title, panel.title);
            assert!(
                PANELS.contains(&panel.kind.as_str()),
                "{at} is a {}",
                panel.kind
            );
            assert!(ids.insert(panel.id), "{at}: its id is taken");
            let place = panel.grid_pos;
            assert!(
                place.x + place.w <= 24 && place.w > 0 && place.h > 0,
                "{at}: {place:?}"
            );
            for x in place.x..place.x + place.w {
                for y in place.y..place.y + place.h {
                    let other = taken.insert((x, y), &panel.title);
                    assert_eq!(other, None, "{at} covers another");
                }
            }
            let refs: BTreeSet<_> = panel.targets.iter().map(|t| &t.ref_id).collect();
            assert_eq!(refs.len(), panel.targets.len(), "{at}");
            for target in &panel.targets {
                assert_ne!(target.instant, target.range, "{at}");
                let stray =
                    target.legend_format.is_empty() || target.legend_format.contains("__auto");
                assert!(!stray, "{at}: {:?}", target.legend_format);
            }
            let per = panel.title.contains("(per minute)");
            assert!(
                !per || panel.targets.iter().all(|t| t.expr.contains("* 60")),
                "{at}"
            );
            if panel.kind == "row" {
                continue;
            }
            for part in ["\n\n**Normal:** ", "\n\n**Otherwise:** "] {
                assert!(
                    panel.description.contains(part),
                    "{at}: {}",
                    panel.description
                );
            }
        }
    }
}

/// Uid and title of a dashboard; titles and kinds of panels.
type Known = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

#[test]
fn the_first_panels_are_those_that_users_know() {
    let known: [Known; 2] = [
        (
            "distributed-scheduler",
            "Distributed Job Scheduler",
            &[
                ("Active Jobs", "gauge"),
                ("Jobs by State", "timeseries"),
                ("Queue Length", "gauge"),
                ("Queue by Priority", "timeseries"),
                ("Queue by Type", "timeseries"),
                ("Job Duration", "timeseries"),
                ("Scheduling Attempts (per minute)", "timeseries"),
                ("Total Worker Nodes", "stat"),
                ("Nodes by Status", "timeseries"),
            ],
        ),
        (
            "worker-monitoring",
            "Worker Node Monitoring",
            &[
                ("Worker CPU Usage", "timeseries"),
                ("Worker GPU Usage", "timeseries"),
                ("Worker Memory Usage", "timeseries"),
                ("Active Jobs per Worker", "gauge"),
                ("GPU Temperature", "timeseries"),
                ("GPU Power Consumption", "timeseries"),
                ("Worker Heartbeat Rate", "timeseries"),
                ("Worker GPU Availability", "stat"),
            ],
        ),
    ];
    let dashboards = dashboards();
    for (uid, title, panels) in known {
        let dashboard = dashboards.iter().find(|d| d.uid == uid).unwrap();
        assert_eq!(dashboard.title, title);
        let first = dashboard.panels.iter().take(panels.len());
        let first: Vec<_> = first.map(|p| (p.title.as_str(), p.kind.as_str())).collect();
        assert_eq!(first, panels);
    }
}

#[test]
fn the_data_source_is_found_by_its_uid_and_all_is_chosen_at_first() {
    for dashboard in dashboards() {
        for variable in &dashboard.templating.list {
            if variable.kind == "datasource" {
                assert_eq!(variable.current["value"], "DS_VICTORIAMETRICS");
            } else {
                assert!(variable.include_all, "{}", variable.name);
                assert_eq!(variable.current["value"][0], "$__all", "{}", variable.name);
            }
        }
        // A variable that chooses nothing would be a lie.
        let queries: String = dashboard
            .shown()
            .flat_map(|p| &p.targets)
            .map(|t| t.expr.as_str())
            .collect();
        for variable in &dashboard.templating.list[1..] {
            assert!(
                queries.contains(&format!("${}", variable.name)),
                "{}",
                variable.name
            );
        }
        let marks = &dashboard.annotations.list[1..];
        let names: Vec<_> = marks.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(
            names,
            ["Policy", "Start of the master"],
            "{}",
            dashboard.title
        );
        assert!(marks.iter().all(|a| a.datasource["uid"] == "${datasource}"));
    }
}

/// Grafana's own types, generated from its schemas (for Python): they take every file, and give it back with what was in it.
#[test]
fn grafana_s_types_read_every_file_and_lose_nothing_of_it() {
    let python = root().join("target/tools/grafana-foundation-sdk/bin/python");
    let script = root().join("tests/e2e/dashboards/read_back.py");
    let files = files().into_keys();
    let files = files.map(|name| root().join(format!("dashboards/{name}.json")));
    let mut command = Command::new(&python);
    let Ok(read) = command.arg(script).args(files).output() else {
        panic!("{} is not there: `make test` fetches it", python.display());
    };
    let said = [read.stdout, read.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(read.status.success() && said.contains("4 read"), "{said}");
}

#[test]
fn a_colour_means_the_same_everywhere_and_no_two_in_a_panel_are_alike() {
    let documented = documented();
    let mut meanings: BTreeMap<String, String> = BTreeMap::new();
    for dashboard in dashboards() {
        for panel in dashboard.shown() {
            let at = format!("{}: {}", dashboard.title, panel.title);
            let colours = panel.colours();
            let distinct: BTreeSet<_> = colours.values().collect();
            assert_eq!(distinct.len(), colours.len(), "{at}: {colours:?}");
            for (name, colour) in &colours {
                let before = meanings.insert((*name).to_owned(), (*colour).to_owned());
                assert!(before.is_none_or(|b| b == *colour), "{at}: {name}");
            }
            // Where a legend is a label whose values are known, and not too many, each of them has its colour.
            for target in &panel.targets {
                let Some(label) = target
                    .legend_format
                    .strip_prefix("{{")
                    .and_then(|l| l.strip_suffix("}}"))
                else {
                    continue;
                };
                if [
                    "scenario", "encoder", "code", "route", "node_id", "instance", "dir",
                ]
                .contains(&label)
                {
                    continue;
                }
                for selector in selectors(&target.expr).unwrap() {
                    let Some(values) = documented
                        .get(&selector.name)
                        .and_then(|labels| labels.get(label))
                    else {
                        continue;
                    };
                    let shown = values.iter().filter(|v| *v != "none");
                    let bare: Vec<_> = shown
                        .filter(|v| !colours.contains_key(v.as_str()))
                        .collect();
                    assert!(bare.is_empty(), "{at}: no colour for {bare:?}");
                }
            }
        }
    }
}

#[test]
fn every_metric_that_is_asked_for_is_in_the_code() {
    let documented = documented();
    for dashboard in dashboards() {
        let targets = dashboard
            .shown()
            .flat_map(|p| p.targets.iter().map(move |t| (&p.title, &t.expr)));
        let annotations = dashboard
            .annotations
            .list
            .iter()
            .map(|a| (&a.name, &a.expr));
        for (of, expr) in targets.chain(annotations) {
            for selector in selectors(expr).unwrap() {
                let at = format!("{}, {of}: {}", dashboard.title, selector.name);
                if super::rules::recorded().contains(&selector.name) {
                    continue;
                }
                let labels = documented
                    .get(&selector.name)
                    .unwrap_or_else(|| panic!("{at} is in no code"));
                for (label, _, _) in &selector.matchers {
                    let told =
                        ["job", "instance"].contains(&label.as_str()) || labels.contains_key(label);
                    assert!(told, "{at} has no label {label}");
                }
            }
        }
    }
}

/// Every `ffrtmp …` in a text is a command, with options that it has.
#[track_caller]
pub fn commands_exist(of: &str, text: &str) {
    let reference = fs::read_to_string(root().join("docs/CLI.md")).unwrap();
    for command in text.split("ffrtmp ").skip(1) {
        let before = &text[..command.as_ptr() as usize - text.as_ptr() as usize - "ffrtmp ".len()];
        // In code, not in prose.
        if !(before.ends_with('`') || before.ends_with('\n') || before.ends_with("; ")) {
            continue;
        }
        let command = command
            .split(['`', '\n', '#'])
            .next()
            .unwrap_or_default()
            .trim();
        let words = command
            .split(' ')
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        let name = words.take(2).collect::<Vec<_>>().join(" ");
        let heading = format!("ffrtmp {name}");
        let section = reference.split("\n## ").find(|section| {
            let first = section.lines().next().unwrap_or_default();
            first.trim_matches('`') == heading
        });
        let section =
            section.unwrap_or_else(|| panic!("{of}: there is no `ffrtmp {name}` in docs/CLI.md"));
        for option in command.split(' ').filter(|word| word.starts_with("--")) {
            let option = option.split('=').next().unwrap_or(option);
            assert!(
                section.contains(option) || reference.contains(&format!("{option} <")),
                "{of}: `ffrtmp {name}` has no {option}"
            );
        }
    }
}

#[test]
fn commands_that_panels_speak_of_exist() {
    for dashboard in dashboards() {
        for panel in dashboard.shown() {
            commands_exist(&panel.title, &panel.description);
        }
    }
}
