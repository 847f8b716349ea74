//! A comparison as one HTML page: the figures as a table, and what was waiting and in use over time as plots. Nothing on it
//! comes from anywhere else, so it can be mailed, archived, and opened without a network.

use std::fmt::Write as _;

use super::{
    Comparison, PolicyReport,
    plot::{COLOURS, Plot, Unit, time},
};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
h1{font-size:1.4em}h2{font-size:1.1em;margin:1.6em 0 .3em}table{border-collapse:collapse;width:100%}\
td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}\
td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#666}\
.grid{stroke:#ddd}.key span{display:inline-block;margin-right:1.2em}.key i{display:inline-block;width:1em;height:.3em;\
margin-right:.4em;vertical-align:middle}.note{color:#666}@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}\
td,th{border-color:#333}.grid{stroke:#333}svg text{fill:#999}}";

/// One figure of a comparison: what it is called, and what it is for each policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub what: String,
    /// One for each policy.
    pub values: Vec<String>,
}

/// The figures side by side, as people read them. Figures that are nothing for every policy are left out.
pub fn lines(comparison: &Comparison) -> Vec<Line> {
    let policies = &comparison.policies;
    let mut lines = Vec::new();
    let mut line = |what: &str, value: &dyn Fn(&PolicyReport) -> Option<String>| {
        let values: Vec<Option<String>> = policies.iter().map(value).collect();
        if values.iter().any(Option::is_some) {
            let values = values
                .into_iter()
                .map(|value| value.unwrap_or_else(|| "-".into()))
                .collect();
            lines.push(Line {
                what: what.to_owned(),
                values,
            });
        }
    };
    let some = |n: u64| (n > 0).then(|| n.to_string());
    let share = |x: f64| format!("{:.1} %", x * 100.0);
    line("jobs completed", &|p| Some(p.completed.to_string()));
    line("jobs never started", &|p| some(p.wait.never_started));
    line("jobs refused", &|p| some(p.refused_jobs));
    line("makespan", &|p| Some(time(p.makespan_ms)));
    line("wait, mean", &|p| Some(time(p.wait.mean_ms)));
    line("wait, half below", &|p| Some(time(p.wait.p50_ms)));
    line("wait, 99 % below", &|p| Some(time(p.wait.p99_ms)));
    line("wait, longest", &|p| Some(time(p.wait.max_ms)));
    type Waits = fn(&PolicyReport) -> &std::collections::BTreeMap<String, super::report::Wait>;
    let tables: [(&str, Waits); 3] = [
        ("queue", |p| &p.wait_by_queue),
        ("priority", |p| &p.wait_by_priority),
        (&comparison.group_by, |p| &p.wait_by_group),
    ];
    for (by, waits) in tables {
        let keys: Vec<String> = policies
            .first()
            .map(|p| waits(p).keys().cloned().collect())
            .unwrap_or_default();
        if keys.len() < 2 {
            continue; // the same as all jobs together
        }
        for key in keys {
            line(&format!("wait, {by} {key}: half, 99 % below"), &|p| {
                let wait = waits(p).get(&key)?;
                Some(format!("{}, {}", time(wait.p50_ms), time(wait.p99_ms)))
            });
        }
    }
    line("CPU reserved", &|p| Some(share(p.cpu_utilisation)));
    line("GPU sessions reserved", &|p| p.gpu_utilisation.map(share));
    line("workers busy, mean", &|p| {
        Some(format!("{:.1}", p.workers_busy_mean))
    });
    line("busiest worker, mean", &|p| Some(share(p.busiest_worker)));
    line("jobs on the fullest worker, mean", &|p| {
        Some(format!("{:.1}", p.jobs_on_fullest_mean))
    });
    line("fairness (1 is equal)", &|p| {
        p.fairness.map(|f| format!("{f:.3}"))
    });
    line("deadlines missed", &|p| {
        (p.deadlines > 0).then(|| format!("{} of {}", p.deadline_misses, p.deadlines))
    });
    line("holds", &|p| some(p.holds));
    line("rounds", &|p| Some(p.rounds.to_string()));
    let mut reasons: Vec<&String> = policies
        .iter()
        .flat_map(|p| p.refused_placements.keys())
        .collect();
    reasons.sort();
    reasons.dedup();
    for reason in reasons {
        line(&format!("placements refused, {reason}"), &|p| {
            p.refused_placements.get(reason).copied().and_then(some)
        });
    }
    line("faults", &|p| some(p.faults.values().sum()));
    line("rounds decided in its place", &|p| some(p.fallback_rounds));
    line("lost its place", &|p| {
        p.lost_its_place
            .as_ref()
            .map(|lost| format!("after {}", time(lost.at_ms)))
    });
    line("memory", &|p| {
        (p.memory_bytes > 0).then(|| format!("{:.1} MiB", p.memory_bytes as f64 / 1_048_576.0))
    });
    line("time to answer, mean (this machine)", &|p| {
        let measured = p.measured?;
        Some(format!("{} µs", measured.policy_us / measured.calls.max(1)))
    });
    line("time to answer, longest", &|p| {
        Some(format!("{} µs", p.measured?.policy_longest_us))
    });
    lines
}

/// What each policy is called: its name, and its digest where two have the same.
pub fn titles(comparison: &Comparison) -> Vec<String> {
    let policies = &comparison.policies;
    policies
        .iter()
        .map(|p| {
            let namesakes = policies.iter().filter(|other| other.name == p.name);
            match namesakes.count() {
                1 => p.name.clone(),
                _ => format!("{} {}", p.name, p.digest),
            }
        })
        .collect()
}

/// What a comparison is of, in a sentence.
pub fn summary(comparison: &Comparison) -> String {
    let (jobs, on) = (&comparison.workload, &comparison.cluster);
    let seed = jobs.seed.map(|s| format!(", seed {s}")).unwrap_or_default();
    format!(
        "{} jobs of {} over {}{seed}; on {}: {} workers, {} cores, {} slots, {} GPU sessions",
        jobs.jobs,
        jobs.name,
        time((jobs.last_at_ms - jobs.first_at_ms).unsigned_abs()),
        on.name,
        on.workers,
        on.cpu_millicores / 1_000,
        on.slots,
        on.gpu_sessions
    )
}

/// What ended before its end or failed, in sentences.
pub fn remarks(comparison: &Comparison) -> Vec<String> {
    let mut remarks = Vec::new();
    for (p, name) in comparison.policies.iter().zip(titles(comparison)) {
        remarks.extend(p.stopped.iter().map(|why| format!("{name}: {why}")));
        remarks.extend(
            p.first_fault
                .iter()
                .map(|fault| format!("{name}: its first fault: {fault}")),
        );
        if let Some(lost) = &p.lost_its_place {
            remarks.push(format!(
                "{name}: kept failing and lost its place after {}; the figures from then on are the built-in policy's",
                time(lost.at_ms)
            ));
        }
    }
    remarks
}

/// The page.
pub fn html(comparison: &Comparison) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>ffrtmp policies simulate</title><style>{STYLE}</style></head><body><h1>Policies, simulated</h1><p>{}</p>",
        escape(&summary(comparison))
    );
    for remark in remarks(comparison) {
        let _ = write!(page, "<p class=\"note\">{}</p>", escape(&remark));
    }
    let names: Vec<String> = titles(comparison).iter().map(|t| escape(t)).collect();
    page.push_str("<p class=\"key\">");
    for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(
            page,
            "<span><i style=\"background:{colour}\"></i>{name}</span>"
        );
    }
    page.push_str("</p>");
    for (title, plot) in plots(comparison) {
        let _ = write!(page, "<h2>{title}</h2>{}", plot.svg());
    }
    page.push_str("<h2>Figures</h2><table><tr><th></th>");
    for name in &names {
        let _ = write!(page, "<th>{name}</th>");
    }
    page.push_str("</tr>");
    for line in lines(comparison) {
        let _ = write!(page, "<tr><td>{}</td>", escape(&line.what));
        for value in &line.values {
            let _ = write!(page, "<td>{}</td>", escape(value));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></body></html>\n");
    page
}

fn plots(comparison: &Comparison) -> Vec<(&'static str, Plot)> {
    let over_time = |y: Unit, value: fn(&super::measure::Sample) -> f64| Plot {
        x: Unit::Time,
        y,
        lines: comparison
            .policies
            .iter()
            .map(|p| {
                p.samples
                    .iter()
                    .map(|s| (s.at_ms as f64, value(s)))
                    .collect()
            })
            .collect(),
    };
    let mut plots = vec![
        ("Jobs waiting", over_time(Unit::Count, |s| s.waiting as f64)),
        (
            "CPU reserved",
            over_time(Unit::Share, |s| f64::from(s.cpu_permille)),
        ),
    ];
    if comparison.cluster.gpu_sessions > 0 {
        plots.push((
            "GPU sessions reserved",
            over_time(Unit::Share, |s| f64::from(s.gpu_permille)),
        ));
    }
    plots.push((
        "Wait: so many of the jobs waited no longer than",
        Plot {
            x: Unit::Share,
            y: Unit::Time,
            lines: comparison
                .policies
                .iter()
                .map(|p| {
                    p.wait_curve
                        .iter()
                        .map(|(permille, ms)| (f64::from(*permille), *ms as f64))
                        .collect()
                })
                .collect(),
        },
    ));
    plots
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
