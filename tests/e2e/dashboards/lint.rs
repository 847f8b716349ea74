//! The rules of grafana/dashboard-linter, with its exceptions file: `dashboards/.lint`, written as JSON, which is YAML too.
//!
//! An exception names one target and says why; one that is no longer needed is an error.

use std::fs;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    model::{Dashboard, Panel, Target, dashboards, files},
    queries::{Selector, selectors},
};
use crate::cluster::root;

/// What a rule found: panel and number of the target, where it is about one, and what is wrong.
type Finding = (Option<String>, Option<usize>, String);
type Rule = fn(&Dashboard) -> Vec<Finding>;

const RULES: [(&str, Rule); 17] = [
    ("template-datasource-rule", template_datasource),
    ("template-job-rule", |d| template(d, "job")),
    ("template-instance-rule", |d| template(d, "instance")),
    ("template-label-promql-rule", template_label_promql),
    ("template-on-time-change-reload-rule", template_reload),
    ("panel-datasource-rule", panel_datasource),
    ("panel-title-description-rule", panel_title),
    ("panel-units-rule", panel_units),
    ("panel-no-targets-rule", panel_targets),
    ("target-logql-rule", target_logql),
    ("target-logql-auto-rule", target_logql),
    ("target-promql-rule", target_promql),
    ("target-rate-interval-rule", target_rate_interval),
    ("target-job-rule", |d| target_matcher(d, "job")),
    ("target-instance-rule", |d| target_matcher(d, "instance")),
    ("target-counter-agg-rule", target_counter_agg),
    ("uneditable-dashboard-rule", uneditable),
];

fn of_dashboard(what: impl Into<String>) -> Vec<Finding> {
    vec![(None, None, what.into())]
}

fn of_panels(dashboard: &Dashboard, wrong: impl Fn(&Panel) -> Option<String>) -> Vec<Finding> {
    let panels = dashboard.shown();
    panels
        .filter_map(|panel| Some((Some(panel.title.clone()), None, wrong(panel)?)))
        .collect()
}

fn of_targets(dashboard: &Dashboard, wrong: impl Fn(&Target) -> Option<String>) -> Vec<Finding> {
    let panels = dashboard.shown();
    panels
        .flat_map(|panel| {
            panel
                .targets
                .iter()
                .enumerate()
                .map(move |(at, t)| (panel, at, t))
        })
        .filter_map(|(panel, at, t)| Some((Some(panel.title.clone()), Some(at), wrong(t)?)))
        .collect()
}

fn of_selectors(dashboard: &Dashboard, wrong: impl Fn(&Selector) -> bool) -> Vec<Finding> {
    of_targets(dashboard, |target| {
        let all = selectors(&target.expr).unwrap_or_default();
        all.iter().find(|s| wrong(s)).map(Selector::text)
    })
}

fn template_datasource(dashboard: &Dashboard) -> Vec<Finding> {
    let sources = dashboard.templating.list.iter();
    match sources
        .filter(|v| v.kind == "datasource")
        .collect::<Vec<_>>()[..]
    {
        [one]
            if one.query == "prometheus"
                && one.name == "datasource"
                && one.label == "Data source" =>
        {
            Vec::new()
        }
        _ => of_dashboard("no single variable `datasource` labelled `Data source` for prometheus"),
    }
}

/// The data source is the variable.
fn by_variable(datasource: &Value) -> bool {
    ["$datasource", "${datasource}"]
        .iter()
        .any(|name| datasource["uid"] == *name || datasource == name)
}

fn template(dashboard: &Dashboard, name: &str) -> Vec<Finding> {
    match dashboard.templating.list.iter().find(|v| v.name == name) {
        Some(v)
            if by_variable(&v.datasource)
                && v.kind == "query"
                && v.label == name
                && v.multi
                && v.all_value == ".+" =>
        {
            Vec::new()
        }
        found => of_dashboard(format!(
            "{name} is no query labelled so, multi, with .+ for all: {found:?}"
        )),
    }
}

fn template_label_promql(dashboard: &Dashboard) -> Vec<Finding> {
    let queries = dashboard
        .templating
        .list
        .iter()
        .filter(|v| v.kind == "query");
    queries
        .filter(|v| {
            let inside = v
                .query
                .strip_prefix("label_values(")
                .and_then(|q| q.strip_suffix(')'));
            let parts = inside.and_then(|q| q.rsplit_once(", "));
            !parts.is_some_and(|(metric, _)| selectors(metric).is_ok_and(|s| s.len() == 1))
        })
        .map(|v| (None, None, v.query.clone()))
        .collect()
}

fn template_reload(dashboard: &Dashboard) -> Vec<Finding> {
    let queries = dashboard
        .templating
        .list
        .iter()
        .filter(|v| v.kind == "query");
    queries
        .filter(|v| v.refresh != 2)
        .map(|v| (None, None, v.name.clone()))
        .collect()
}

fn panel_datasource(dashboard: &Dashboard) -> Vec<Finding> {
    of_panels(dashboard, |panel| {
        let targets = panel.targets.iter().map(|t| &t.datasource);
        let all = targets.chain([&panel.datasource]).all(by_variable);
        (!all).then(|| panel.datasource.to_string())
    })
}

fn panel_title(dashboard: &Dashboard) -> Vec<Finding> {
    of_panels(dashboard, |panel| {
        (panel.title.is_empty() || panel.description.is_empty())
            .then(|| format!("panel {}", panel.id))
    })
}

fn panel_units(dashboard: &Dashboard) -> Vec<Finding> {
    let known = super::grafana::units();
    of_panels(dashboard, |panel| {
        let overrides = panel
            .field_config
            .overrides
            .iter()
            .flat_map(|o| &o.properties);
        let units = overrides
            .filter(|p| p.id == "unit")
            .filter_map(|p| p.value.as_str());
        let default = panel.field_config.defaults.unit.as_str();
        units
            .chain([default])
            .find(|unit| !known.contains(unit))
            .map(str::to_owned)
    })
}

fn panel_targets(dashboard: &Dashboard) -> Vec<Finding> {
    of_panels(dashboard, |panel| {
        panel.targets.is_empty().then(|| "no query".to_owned())
    })
}

/// These two are about Loki. There is none here, and none may come in without its rules.
fn target_logql(dashboard: &Dashboard) -> Vec<Finding> {
    of_targets(dashboard, |t| {
        (t.datasource["type"] != "prometheus").then(|| t.datasource.to_string())
    })
}

/// That they can be taken apart; `rules` has Prometheus parse them.
fn target_promql(dashboard: &Dashboard) -> Vec<Finding> {
    of_targets(dashboard, |target| match selectors(&target.expr) {
        Err(error) => Some(error),
        Ok(none) if none.is_empty() => Some("no selector".to_owned()),
        Ok(_) => None,
    })
}

fn target_rate_interval(dashboard: &Dashboard) -> Vec<Finding> {
    of_selectors(dashboard, |s| {
        ["rate", "irate"].contains(&s.function.as_str())
            && s.range.as_deref() != Some("$__rate_interval")
    })
}

fn target_matcher(dashboard: &Dashboard, label: &str) -> Vec<Finding> {
    of_selectors(dashboard, |s| {
        s.matched(label, "=~") != Some(&format!("${label}"))
    })
}

fn target_counter_agg(dashboard: &Dashboard) -> Vec<Finding> {
    of_selectors(dashboard, |s| {
        let counted = ["rate", "irate", "increase"].contains(&s.function.as_str());
        s.name.ends_with("_total") && !(counted && s.range.is_some())
    })
}

fn uneditable(dashboard: &Dashboard) -> Vec<Finding> {
    match dashboard.editable {
        true => of_dashboard("can be edited, although its source is a file"),
        false => Vec::new(),
    }
}

#[derive(Debug, Deserialize)]
struct Exceptions {
    exclusions: std::collections::BTreeMap<String, Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    reason: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    dashboard: String,
    panel: String,
    target_idx: usize,
    reason: String,
}

#[test]
fn the_linter_finds_nothing_that_is_not_excused_for_a_reason() {
    let text = fs::read_to_string(root().join("dashboards/.lint")).unwrap();
    let exceptions: Exceptions = serde_json::from_str(&text).unwrap();
    let mut excused: Vec<(&str, &Entry)> = Vec::new();
    for (rule, exception) in &exceptions.exclusions {
        assert!(
            RULES.iter().any(|(name, _)| name == rule),
            "no rule is called {rule}"
        );
        assert!(!exception.reason.is_empty() && !exception.entries.is_empty());
        assert!(
            exception
                .entries
                .iter()
                .all(|entry| entry.reason.len() > 20)
        );
        excused.extend(exception.entries.iter().map(|entry| (rule.as_str(), entry)));
    }
    let mut wrong = Vec::new();
    for dashboard in dashboards() {
        for (rule, check) in RULES {
            for (panel, target, what) in check(&dashboard) {
                let found = excused.iter().position(|(of, entry)| {
                    *of == rule
                        && entry.dashboard == dashboard.title
                        && Some(&entry.panel) == panel.as_ref()
                        && Some(entry.target_idx) == target
                });
                match found {
                    Some(at) => drop(excused.remove(at)),
                    None => wrong.push(format!(
                        "{rule}: {}, {panel:?} {target:?}: {what}",
                        dashboard.title
                    )),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        excused.is_empty(),
        "nothing is wrong there any more: {excused:#?}"
    );
}

/// Each rule against a dashboard that breaks it, and nothing else.
#[test]
fn each_rule_finds_what_it_is_for() {
    let whole = files()["policy"].clone();
    let panel = "/panels/1";
    let variable = |name: &str| {
        let list = whole["templating"]["list"].as_array().unwrap();
        let at = list.iter().position(|v| v["name"] == name).unwrap();
        format!("/templating/list/{at}")
    };
    let broken: [(&str, String, Value); 16] = [
        (
            "template-datasource-rule",
            variable("datasource") + "/name",
            json!("ds"),
        ),
        (
            "template-job-rule",
            variable("job") + "/allValue",
            json!(".*"),
        ),
        (
            "template-instance-rule",
            variable("instance") + "/multi",
            json!(false),
        ),
        (
            "template-label-promql-rule",
            variable("job") + "/query",
            json!("label_values(up{, job)"),
        ),
        (
            "template-on-time-change-reload-rule",
            variable("job") + "/refresh",
            json!(1),
        ),
        (
            "panel-datasource-rule",
            format!("{panel}/datasource/uid"),
            json!("DS_VICTORIAMETRICS"),
        ),
        (
            "panel-title-description-rule",
            format!("{panel}/description"),
            json!(""),
        ),
        (
            "panel-units-rule",
            format!("{panel}/fieldConfig/defaults/unit"),
            json!("frames"),
        ),
        (
            "panel-no-targets-rule",
            format!("{panel}/targets"),
            json!([]),
        ),
        (
            "target-logql-rule",
            format!("{panel}/targets/0/datasource/type"),
            json!("loki"),
        ),
        (
            "target-promql-rule",
            format!("{panel}/targets/0/expr"),
            json!("sum(ffrtmp_policy_info"),
        ),
        (
            "target-rate-interval-rule",
            format!("{panel}/targets/0/expr"),
            json!("rate(a_total{job=~\"$job\", instance=~\"$instance\"}[1m])"),
        ),
        (
            "target-job-rule",
            format!("{panel}/targets/0/expr"),
            json!("a{instance=~\"$instance\"}"),
        ),
        (
            "target-instance-rule",
            format!("{panel}/targets/0/expr"),
            json!("a{job=~\"$job\", instance=\"$instance\"}"),
        ),
        (
            "target-counter-agg-rule",
            format!("{panel}/targets/0/expr"),
            json!("sum(a_total{job=~\"$job\", instance=~\"$instance\"})"),
        ),
        (
            "uneditable-dashboard-rule",
            "/editable".to_owned(),
            json!(true),
        ),
    ];
    for (rule, at, value) in broken {
        let mut dashboard = whole.clone();
        *dashboard.pointer_mut(&at).unwrap() = value;
        let dashboard = Dashboard::of(&dashboard);
        let found: Vec<&str> = RULES
            .iter()
            .filter(|(_, check)| !check(&dashboard).is_empty())
            .map(|(name, _)| *name)
            .filter(|name| *name != "target-logql-auto-rule")
            .collect();
        assert_eq!(found, [rule], "{at}");
    }
}
