//! The dashboards as Grafana reads them: those fields that tests look at.

use std::{collections::BTreeMap, fs};

use serde::Deserialize;
use serde_json::Value;

use crate::cluster::root;

/// A dashboard.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    pub uid: String,
    pub title: String,
    pub editable: bool,
    pub schema_version: u32,
    pub tags: Vec<String>,
    pub templating: Variables,
    pub annotations: Annotations,
    pub panels: Vec<Panel>,
}

/// Its variables.
#[derive(Debug, Clone, Deserialize)]
pub struct Variables {
    pub list: Vec<Variable>,
}

/// What is chosen above a dashboard.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    pub name: String,
    pub label: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub query: String,
    #[serde(default)]
    pub datasource: Value,
    #[serde(default)]
    pub multi: bool,
    #[serde(default)]
    pub include_all: bool,
    #[serde(default)]
    pub all_value: String,
    #[serde(default)]
    pub refresh: u32,
    pub current: Value,
}

/// Its annotations.
#[derive(Debug, Clone, Deserialize)]
pub struct Annotations {
    pub list: Vec<Annotation>,
}

/// Marks on all panels.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    pub name: String,
    #[serde(default)]
    pub expr: String,
    #[serde(default)]
    pub title_format: String,
    #[serde(default)]
    pub text_format: String,
    pub datasource: Value,
}

/// One panel, or a heading.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    pub id: u32,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub grid_pos: Grid,
    #[serde(default)]
    pub datasource: Value,
    #[serde(default)]
    pub targets: Vec<Target>,
    #[serde(default)]
    pub field_config: FieldConfig,
}

/// Where a panel is, in columns of 24 and rows.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Grid {
    pub x: u32,
    pub y: u32,
    pub w: u32,
    pub h: u32,
}

/// One query.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    pub ref_id: String,
    pub expr: String,
    pub legend_format: String,
    pub instant: bool,
    pub range: bool,
    pub datasource: Value,
}

/// How values look.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct FieldConfig {
    pub defaults: Defaults,
    pub overrides: Vec<Override>,
}

/// How all values of a panel look.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    #[serde(default)]
    pub unit: String,
    /// What the panel says where there is no data.
    pub no_value: Option<String>,
}

/// How some look.
#[derive(Debug, Clone, Deserialize)]
pub struct Override {
    pub matcher: Matcher,
    pub properties: Vec<Property>,
}

/// Which.
#[derive(Debug, Clone, Deserialize)]
pub struct Matcher {
    pub id: String,
    pub options: Value,
}

/// And what of them.
#[derive(Debug, Clone, Deserialize)]
pub struct Property {
    pub id: String,
    pub value: Value,
}

impl Dashboard {
    /// As a test changed it.
    #[track_caller]
    pub fn of(json: &Value) -> Dashboard {
        serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{e}: {}", json["title"]))
    }

    /// Its panels without the headings, each with a name for messages.
    pub fn shown(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter().filter(|panel| panel.kind != "row")
    }
}

impl Panel {
    /// Fixed colours by the names in the legend.
    pub fn colours(&self) -> BTreeMap<&str, &str> {
        let all = self.field_config.overrides.iter();
        all.filter(|one| one.matcher.id == "byName")
            .filter_map(|one| {
                let colour = one.properties.iter().find(|p| p.id == "color")?;
                Some((
                    one.matcher.options.as_str()?,
                    colour.value["fixedColor"].as_str()?,
                ))
            })
            .collect()
    }
}

/// The files of `dashboards/`, by name.
pub fn files() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root().join("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            found.insert(name, serde_json::from_str(&text).unwrap());
        }
    }
    assert_eq!(found.len(), 4, "{:?}", found.keys());
    found
}

/// All of them.
pub fn dashboards() -> Vec<Dashboard> {
    files().values().map(Dashboard::of).collect()
}

/// What the code says of its metrics (`docs/METRICS.md` is made of it, and compared with it): by name, the labels with their values
/// where these are known beforehand.
pub fn documented() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let text = fs::read_to_string(root().join("docs/METRICS.md")).unwrap();
    let mut found: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, _unit, labels, ..] = cells[..] else {
            continue;
        };
        if !["counter", "gauge", "histogram"].contains(&kind) {
            continue;
        }
        let labels = labels.split("; `").filter_map(|label| {
            let (label, values) = label.trim_start_matches('`').split_once("`: ")?;
            let values = values.split(", ").map(str::to_owned).collect();
            Some((label.to_owned(), values))
        });
        let of_name = found.entry(name.trim_matches('`').to_owned()).or_default();
        of_name.extend(labels);
        if kind == "histogram" {
            for part in ["bucket", "count", "sum"] {
                let labels = found[name.trim_matches('`')].clone();
                found.insert(format!("{}_{part}", name.trim_matches('`')), labels);
            }
        }
    }
    assert!(found.len() > 100, "{:?}", found.keys());
    found
}
