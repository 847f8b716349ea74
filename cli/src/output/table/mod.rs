//! The face for people: aligned tables for lists, indented paragraphs for one thing.
//!
//! Its layout is free to change; programs read JSON. Text that came from others is cleaned of control characters.

mod explain;
mod job;
mod jobs;
mod nodes;
mod plan;
mod policies;
mod policy_dump;
mod policy_log;
mod presets;
mod simulate;
mod stats;
mod webhooks;

use std::io::{self, Write};

use ffrtmp_api::rest::{
    CreatedToken, DeliveryList, Explanation, Job, JobList, Node, NodeList, PolicyDetail,
    PolicyDump, PolicyList, PolicyLog, PolicyLogEvent, PresetDetail, PresetList, Stats, SubmitItem,
    Submitted, TokenList, WebhookTested,
};

use ffrtmp_host::{check::Examination, simulate::Comparison};

use super::{
    BackupMade, FindingList, Output, Plan, ReadySaid, SettingList, Tally, Versions,
    style::Style,
    tokens,
    units::{age, bytes, clean, moment},
};

/// Prints for people.
pub struct Table<W> {
    out: W,
    colour: bool,
    now_ms: i64,
    /// Numbers of jobs that were accepted and not yet told, as ranges: first and last of each.
    accepted: Vec<(u64, u64)>,
    /// Whether names and notes are shown whole.
    wide: bool,
    /// Most lines of a list.
    lines_max: usize,
}

impl<W: Write> Table<W> {
    /// On `out`, with ages counted from `now_ms`.
    pub fn new(out: W, colour: bool, now_ms: i64) -> Table<W> {
        Table {
            out,
            colour,
            now_ms,
            accepted: Vec::new(),
            wide: false,
            lines_max: usize::MAX,
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        style.paint(&clean(text), self.colour)
    }

    /// One `name   value` line of a paragraph.
    fn field(&mut self, name: &str, value: impl AsRef<str>) -> io::Result<()> {
        let name = Style::Faint.paint(&format!("{name:<11}"), self.colour);
        writeln!(self.out, "  {name} {}", value.as_ref())
    }

    fn moment_field(&mut self, name: &str, at_ms: i64, also: Option<String>) -> io::Result<()> {
        let ago = age(at_ms, self.now_ms);
        let also = also.map(|text| format!("; {text}")).unwrap_or_default();
        self.field(name, format!("{} ({ago} ago{also})", moment(at_ms)))
    }
}

impl<W: Write> Output for Table<W> {
    fn submitted(&mut self, submitted: &Submitted, summary: &str) -> io::Result<()> {
        jobs::submitted(self, submitted, summary)
    }
    fn item(&mut self, place: Option<&str>, item: &SubmitItem) -> io::Result<()> {
        jobs::item(self, place, item)
    }
    fn items_end(&mut self, tally: &Tally, summary: Option<&str>) -> io::Result<()> {
        jobs::items_end(self, tally, summary)
    }
    fn plan(&mut self, plan: &Plan) -> io::Result<()> {
        plan::show(self, plan)
    }
    fn job(&mut self, job: &Job) -> io::Result<()> {
        job::show(self, job)
    }
    fn ended(&mut self, job: &Job) -> io::Result<()> {
        jobs::ended(self, job)
    }
    fn jobs(&mut self, list: &JobList) -> io::Result<()> {
        jobs::list(self, list)
    }
    fn row(&mut self, job: &Job) -> io::Result<()> {
        jobs::row(self, job)
    }
    fn changed(&mut self, jobs: &[(&str, Job)]) -> io::Result<()> {
        jobs::changed(self, jobs)
    }
    fn explanation(&mut self, explanation: &Explanation) -> io::Result<()> {
        explain::show(self, explanation)
    }
    fn stats(&mut self, stats: &Stats) -> io::Result<()> {
        stats::show(self, stats)
    }
    fn nodes(&mut self, list: &NodeList) -> io::Result<()> {
        nodes::list(self, list)
    }
    fn nodes_whole(&mut self, nodes: &[Node]) -> io::Result<()> {
        nodes.iter().try_for_each(|node| nodes::show(self, node))
    }
    fn nodes_changed(&mut self, nodes: &[(&str, Node)]) -> io::Result<()> {
        nodes::changed(self, nodes)
    }
    fn policies(&mut self, list: &PolicyList) -> io::Result<()> {
        policies::list(self, list)
    }
    fn presets(&mut self, list: &PresetList) -> io::Result<()> {
        presets::list(self, list)
    }
    fn preset(&mut self, preset: &PresetDetail) -> io::Result<()> {
        presets::show(self, preset)
    }
    fn tokens(&mut self, list: &TokenList) -> io::Result<()> {
        tokens::list(&mut self.out, self.colour, self.now_ms, list)
    }
    fn token(&mut self, made: &CreatedToken) -> io::Result<()> {
        tokens::made(&mut self.out, made)
    }

    fn deliveries(&mut self, list: &DeliveryList) -> io::Result<()> {
        webhooks::list(self, list)
    }
    fn webhook_tested(&mut self, tested: &WebhookTested) -> io::Result<()> {
        webhooks::tested(self, tested)
    }
    fn policy(&mut self, policy: &PolicyDetail) -> io::Result<()> {
        policies::describe(self, policy)
    }
    fn policy_dump(&mut self, dump: &PolicyDump) -> io::Result<()> {
        policy_dump::show(self, dump)
    }
    fn policy_log(&mut self, log: &PolicyLog) -> io::Result<()> {
        policy_log::all(self, log)
    }
    fn policy_log_event(&mut self, event: &PolicyLogEvent) -> io::Result<()> {
        policy_log::event(self, event)
    }
    fn versions(&mut self, versions: &Versions) -> io::Result<()> {
        writeln!(self.out, "ffrtmp  {}", versions.client)?;
        match &versions.master {
            Some(master) => writeln!(
                self.out,
                "master  {} (worker protocol {})",
                clean(&master.version),
                master.protocol
            ),
            None => Ok(()),
        }
    }
    fn settings(&mut self, list: &SettingList) -> io::Result<()> {
        super::settings::settings(&mut self.out, self.colour, list)
    }
    fn findings(&mut self, list: &FindingList) -> io::Result<()> {
        super::settings::findings(&mut self.out, self.colour, list)
    }
    fn comparison(&mut self, comparison: &Comparison) -> io::Result<()> {
        simulate::comparison(&mut self.out, self.colour, comparison)
    }
    fn examination(&mut self, examination: &Examination) -> io::Result<()> {
        simulate::examination(&mut self.out, self.colour, examination)
    }
    fn backup(&mut self, made: &BackupMade) -> io::Result<()> {
        writeln!(
            self.out,
            "{}: {}, {} jobs, {} of them not ended",
            clean(&made.folder.display().to_string()),
            bytes(made.bytes),
            made.jobs,
            made.unfinished
        )?;
        if made.unfinished_with_uploads > 0 {
            writeln!(
                self.out,
                "{} of those read an upload; the spool is not in the backup, so keep it or they fail when restored",
                made.unfinished_with_uploads
            )?;
        }
        Ok(())
    }
    fn ready(&mut self, said: &ReadySaid) -> io::Result<()> {
        writeln!(self.out, "{} is ready", clean(&said.url))
    }
    fn remark(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", clean(text))
    }
    fn widen(&mut self) {
        self.wide = true;
    }
    fn fit(&mut self, lines: usize) {
        self.lines_max = lines;
    }
}

#[cfg(test)]
mod tests;
