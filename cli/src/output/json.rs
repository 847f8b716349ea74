//! The face for programs: the API's own JSON, as one document or one object a line.
//!
//! It must never print anything that is not JSON.

use std::io::{self, Write};

use ffrtmp_api::rest::{
    CreatedToken, DeliveryList, Explanation, Job, JobList, Node, NodeList, PolicyDetail,
    PolicyDump, PolicyList, PolicyLog, PolicyLogEvent, PresetDetail, PresetList, Stats, SubmitItem,
    Submitted, TokenList, WebhookTested,
};
use ffrtmp_host::{check::Examination, simulate::Comparison};
use serde::Serialize;

use super::{BackupMade, FindingList, Output, Plan, ReadySaid, SettingList, Tally, Versions};

/// Prints JSON.
pub struct Json<W> {
    out: W,
    lines: bool,
    /// Items of the document that is being written, as it is written.
    items: u64,
}

impl<W: Write> Json<W> {
    /// One object a line if `lines`, else one indented document.
    pub fn new(out: W, lines: bool) -> Json<W> {
        Json {
            out,
            lines,
            items: 0,
        }
    }

    fn one(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = if self.lines {
            serde_json::to_string(value)
        } else {
            serde_json::to_string_pretty(value)
        };
        writeln!(self.out, "{}", text.map_err(io::Error::other)?)?;
        self.out.flush()
    }

    /// A list: the whole answer as one document, or its items as lines.
    fn list<T: Serialize>(&mut self, whole: &impl Serialize, items: &[T]) -> io::Result<()> {
        if !self.lines {
            return self.one(whole);
        }
        items.iter().try_for_each(|item| self.one(item))
    }
}

impl<W: Write> Output for Json<W> {
    fn submitted(&mut self, submitted: &Submitted, _summary: &str) -> io::Result<()> {
        self.one(submitted)
    }
    /// The items of a [`SubmitBatchAnswer`](ffrtmp_api::rest::SubmitBatchAnswer), written one by one: there may be
    /// millions.
    fn item(&mut self, _place: Option<&str>, item: &SubmitItem) -> io::Result<()> {
        if self.lines {
            return self.one(item);
        }
        let before = if self.items == 0 {
            "{\n  \"items\": ["
        } else {
            ","
        };
        self.items += 1;
        let text = serde_json::to_string(item).map_err(io::Error::other)?;
        write!(self.out, "{before}\n    {text}")
    }
    fn items_end(&mut self, _tally: &Tally, _summary: Option<&str>) -> io::Result<()> {
        match (self.lines, std::mem::take(&mut self.items)) {
            (true, _) => Ok(()),
            (false, 0) => writeln!(self.out, "{{\n  \"items\": []\n}}"),
            (false, _) => writeln!(self.out, "\n  ]\n}}"),
        }
    }
    fn plan(&mut self, plan: &Plan) -> io::Result<()> {
        self.one(plan)
    }
    fn job(&mut self, job: &Job) -> io::Result<()> {
        self.one(job)
    }
    fn ended(&mut self, job: &Job) -> io::Result<()> {
        self.one(job)
    }
    fn jobs(&mut self, list: &JobList) -> io::Result<()> {
        self.list(list, &list.jobs)
    }
    fn row(&mut self, job: &Job) -> io::Result<()> {
        self.one(job)
    }
    fn changed(&mut self, jobs: &[(&str, Job)]) -> io::Result<()> {
        let jobs = jobs.iter().map(|(_, job)| job.clone()).collect();
        self.jobs(&JobList {
            jobs,
            next_cursor: None,
        })
    }
    fn explanation(&mut self, explanation: &Explanation) -> io::Result<()> {
        self.one(explanation)
    }
    fn stats(&mut self, stats: &Stats) -> io::Result<()> {
        self.one(stats)
    }
    fn nodes(&mut self, list: &NodeList) -> io::Result<()> {
        self.list(list, &list.nodes)
    }
    /// One by itself, several as a list.
    fn nodes_whole(&mut self, nodes: &[Node]) -> io::Result<()> {
        match nodes {
            [node] => self.one(node),
            nodes => self.nodes(&NodeList {
                nodes: nodes.to_vec(),
            }),
        }
    }
    fn nodes_changed(&mut self, nodes: &[(&str, Node)]) -> io::Result<()> {
        let nodes = nodes.iter().map(|(_, node)| node.clone()).collect();
        self.nodes(&NodeList { nodes })
    }
    fn policies(&mut self, list: &PolicyList) -> io::Result<()> {
        self.list(list, &list.policies)
    }
    fn presets(&mut self, list: &PresetList) -> io::Result<()> {
        self.list(list, &list.presets)
    }
    fn preset(&mut self, preset: &PresetDetail) -> io::Result<()> {
        self.one(preset)
    }
    fn tokens(&mut self, list: &TokenList) -> io::Result<()> {
        self.list(list, &list.tokens)
    }
    fn token(&mut self, made: &CreatedToken) -> io::Result<()> {
        self.one(made)
    }
    fn deliveries(&mut self, list: &DeliveryList) -> io::Result<()> {
        self.list(list, &list.deliveries)
    }
    fn webhook_tested(&mut self, tested: &WebhookTested) -> io::Result<()> {
        self.one(tested)
    }
    fn policy(&mut self, policy: &PolicyDetail) -> io::Result<()> {
        self.one(policy)
    }
    fn policy_dump(&mut self, dump: &PolicyDump) -> io::Result<()> {
        self.one(dump)
    }
    fn policy_log(&mut self, log: &PolicyLog) -> io::Result<()> {
        self.list(log, &log.lines)
    }
    /// One a line in either format: a document that never ends is of no use.
    fn policy_log_event(&mut self, event: &PolicyLogEvent) -> io::Result<()> {
        let text = serde_json::to_string(event).map_err(io::Error::other)?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }
    fn versions(&mut self, versions: &Versions) -> io::Result<()> {
        self.one(versions)
    }
    fn settings(&mut self, list: &SettingList) -> io::Result<()> {
        self.list(list, &list.settings)
    }
    fn findings(&mut self, list: &FindingList) -> io::Result<()> {
        self.list(list, &list.findings)
    }
    fn comparison(&mut self, comparison: &Comparison) -> io::Result<()> {
        // What this machine took is for people: the same question gives programs the same bytes.
        let comparison = comparison.clone().without_measured();
        self.list(&comparison, &comparison.policies)
    }
    fn examination(&mut self, examination: &Examination) -> io::Result<()> {
        self.list(examination, &examination.verdicts)
    }
    fn backup(&mut self, made: &BackupMade) -> io::Result<()> {
        self.one(made)
    }
    fn ready(&mut self, said: &ReadySaid) -> io::Result<()> {
        self.one(said)
    }
    fn remark(&mut self, _text: &str) -> io::Result<()> {
        Ok(())
    }
}
