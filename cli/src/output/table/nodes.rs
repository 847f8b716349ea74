//! Workers: in a list, and each as a paragraph.

use std::io::{self, Write};

use ffrtmp_api::{
    clock,
    limits::CLOCK_SKEW_MS_MAX,
    protocol::{Gpu, GpuLoad, Unavailable},
    rest::{Node, NodeList, NodeStatus, Quarantine},
};

use super::{Table, job::pairs};
use crate::output::{
    columns::{Columns, cell, styled},
    style::{self, Style},
    units::{clean, moment, seconds_short},
};

/// One line for each.
pub fn list<W: Write>(table: &mut Table<W>, list: &NodeList) -> io::Result<()> {
    if list.nodes.is_empty() {
        return writeln!(
            table.out,
            "No workers. Start one: ffrtmp worker --master URL"
        );
    }
    let mut columns = Columns::new(&[
        "NAME", "STATUS", ">SLOTS", ">CPU", ">MEMORY", "GPUS", "ENCODERS", "LABELS", ">HEARD",
        "JOBS",
    ]);
    for node in &list.nodes {
        columns.row(vec![
            styled(&node.name, Style::Strong),
            styled(node.status.as_str(), style::of_node(node.status)),
            cell(format!("{}/{}", node.slots_used, node.slots)),
            cell(format!(
                "{:.0}% of {}",
                node.cpu_percent,
                node.cpu_millicores / 1000
            )),
            cell(memory(node)),
            cell(gpus(node)),
            cell(
                node.encoders
                    .iter()
                    .map(|encoder| encoder.name())
                    .collect::<Vec<_>>()
                    .join(","),
            ),
            cell(if node.labels.is_empty() {
                "-".to_owned()
            } else {
                pairs(&node.labels)
            }),
            cell(node.silent_ms.map_or("never".to_owned(), |ms| {
                format!("{} ago", seconds_short(ms as f64 / 1000.0))
            })),
            cell(if node.jobs.is_empty() {
                "-".to_owned()
            } else {
                node.jobs
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(",")
            }),
        ]);
    }
    columns.write(&mut table.out, table.colour)
}

/// Everything known of one, as a paragraph.
pub fn show<W: Write>(table: &mut Table<W>, node: &Node) -> io::Result<()> {
    let head = table.paint(Style::Strong, &node.name);
    let mut status = table.paint(style::of_node(node.status), node.status.as_str());
    if node.drained && node.status == NodeStatus::Draining {
        status.push_str(match node.slots_used {
            0 => " (empty; `ffrtmp nodes undrain` lets it work again)",
            _ => " (finishes what it has)",
        });
    } else if node.drained {
        status.push_str(" (drained: takes nothing when it is back)");
    }
    writeln!(table.out, "{head}  {status}")?;
    if let Some(quarantine) = &node.quarantine {
        table.field("quarantine", quarantined(quarantine))?;
    }
    if let Some(why) = &node.unfit {
        table.field("unfit", format!("{}; it is given nothing", clean(why)))?;
    }
    table.field("software", clean(&node.software))?;
    table.field("ffmpeg", clean(&node.ffmpeg))?;
    let heard = match node.silent_ms {
        Some(ms) => format!("{} ago", seconds_short(ms as f64 / 1000.0)),
        None => "not since the master started".to_owned(),
    };
    table.field("heard", heard)?;
    if let Some(ms) = node
        .clock_skew_ms
        .filter(|ms| ms.unsigned_abs() > CLOCK_SKEW_MS_MAX)
    {
        table.field(
            "clock",
            format!(
                "{} the master's: let a time service set it",
                clock::against(ms)
            ),
        )?;
    }
    table.field(
        "slots",
        format!("{} of {} used", node.slots_used, node.slots),
    )?;
    table.field(
        "cpu",
        format!(
            "{:.0} % of {} cores in use",
            node.cpu_percent,
            f64::from(node.cpu_millicores) / 1000.0
        ),
    )?;
    table.field("memory", format!("{} in use", memory(node)))?;
    let encoders: Vec<&str> = node.encoders.iter().map(|encoder| encoder.name()).collect();
    let encoders = match encoders.is_empty() {
        true => "none was proven".to_owned(),
        false => encoders.join(", "),
    };
    table.field("encoders", encoders)?;
    for (why, names) in unavailable(&node.unavailable) {
        table.field(
            "not usable",
            format!("{}: {}", names.join(", "), clean(&why)),
        )?;
    }
    if node.gpus.is_empty() {
        table.field("GPUs", "none")?;
    }
    for (i, gpu) in node.gpus.iter().enumerate() {
        table.field(&format!("GPU {i}"), gpu_line(gpu, node.gpu_loads.get(i)))?;
    }
    for guard in &node.guards {
        let mark = match guard.holds {
            true => "",
            false => "does not hold: ",
        };
        table.field(
            "guard",
            format!("{}: {mark}{}", clean(&guard.name), clean(&guard.what)),
        )?;
    }
    let labels = match node.labels.is_empty() {
        true => "none".to_owned(),
        false => pairs(&node.labels),
    };
    table.field("labels", labels)?;
    let address = node.metrics_address.as_deref().unwrap_or("none");
    table.field("metrics", clean(address))?;
    let jobs: Vec<String> = node.jobs.iter().map(ToString::to_string).collect();
    let jobs = match jobs.is_empty() {
        true => "none".to_owned(),
        false => jobs.join(", "),
    };
    table.field("jobs", jobs)
}

/// What was asked of each, and how it stands.
pub fn changed<W: Write>(table: &mut Table<W>, nodes: &[(&str, Node)]) -> io::Result<()> {
    for (done, node) in nodes {
        let status = table.paint(style::of_node(node.status), node.status.as_str());
        let holds = match node.jobs.len() {
            0 => String::new(),
            1 => ", 1 job left".to_owned(),
            n => format!(", {n} jobs left"),
        };
        writeln!(
            table.out,
            "{} {done} (now {status}{holds})",
            clean(&node.name)
        )?;
    }
    table.out.flush()
}

/// `4 of its last 5 jobs failed; elsewhere 0 of 20 did; given nothing until 2026-01-01 00:00:00, …`.
fn quarantined(quarantine: &Quarantine) -> String {
    let why = clean(&quarantine.why);
    match quarantine.until_ms {
        Some(until) => format!(
            "{why}; given nothing until {}, then one job at a time (`ffrtmp nodes undrain` ends it now)",
            moment(until)
        ),
        None => format!(
            "{why}; on probation: one job at a time until {} more succeed",
            quarantine.to_prove
        ),
    }
}

/// The encoders that cannot be used, those with one reason together, in the order the worker told them.
fn unavailable(list: &[Unavailable]) -> Vec<(String, Vec<String>)> {
    let mut by_reason: Vec<(String, Vec<String>)> = Vec::new();
    for one in list {
        let name = match one.gpu {
            Some(gpu) => format!("{} on GPU {gpu}", one.encoder.name()),
            None => one.encoder.name().to_owned(),
        };
        match by_reason.iter_mut().find(|(why, _)| *why == one.why) {
            Some((_, names)) => names.push(name),
            None => by_reason.push((one.why.clone(), vec![name])),
        }
    }
    by_reason
}

/// `NVIDIA T4 (GPU-1f2e): 12 % busy, 1024 of 15360 MiB, 1 of 3 encode sessions, encoder 30 %, 61 °C, 33.5 W`.
fn gpu_line(gpu: &Gpu, load: Option<&GpuLoad>) -> String {
    let name = match gpu.uuid.is_empty() {
        true => clean(&gpu.model),
        false => format!("{} ({})", clean(&gpu.model), clean(&gpu.uuid)),
    };
    if let Some(why) = &gpu.unusable {
        return format!("{name}: cannot be used: {}", clean(why));
    }
    // Only a driver that is asked has numbers; for other GPUs none is better than zeros.
    let Some(load) = load else {
        return format!("{name}: up to {} encode sessions", gpu.sessions_max);
    };
    let told = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let busy = load.utilisation_percent.map(|busy| busy.round() as u32);
    let mut line = format!(
        "{name}: {} % busy, {} of {} MiB, {} of {} encode sessions",
        told(busy),
        told(load.memory_used_mib),
        gpu.memory_mib,
        told(load.sessions),
        gpu.sessions_max
    );
    for (value, before, after) in [
        (load.encoder_percent, "encoder ", " %"),
        (load.decoder_percent, "decoder ", " %"),
        (load.temperature_celsius, "", " °C"),
        (load.power_watts, "", " W"),
    ] {
        if let Some(value) = value {
            // One decimal at most, and none where it is zero.
            let value = (f64::from(value) * 10.0).round() / 10.0;
            line.push_str(&format!(", {before}{value}{after}"));
        }
    }
    if let Some(fault) = &load.fault {
        line.push_str(&format!("; not told: {}", clean(fault)));
    }
    line
}

fn memory(node: &Node) -> String {
    let gib = |mib: u32| f64::from(mib) / 1024.0;
    format!(
        "{:.1}/{:.1} GiB",
        gib(node.memory_used_mib),
        gib(node.memory_mib)
    )
}

fn gpus(node: &Node) -> String {
    if node.gpus.is_empty() {
        return "-".to_owned();
    }
    node.gpus
        .iter()
        .map(|gpu| gpu.model.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
