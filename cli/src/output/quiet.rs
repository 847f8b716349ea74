//! The face for scripts that want a list of ids and nothing else: `ffrtmp jobs list -q | xargs ffrtmp jobs cancel`.
//!
//! What has no ids is not printed; what went wrong is said on stderr as ever.

use std::io::{self, Write};

use ffrtmp_api::rest::{
    CreatedToken, DeliveryList, Explanation, Job, JobList, Node, NodeList, PolicyDetail,
    PolicyDump, PolicyList, PolicyLog, PolicyLogEvent, PresetDetail, PresetList, Stats, SubmitItem,
    Submitted, TokenList, WebhookTested,
};

use ffrtmp_host::{check::Examination, simulate::Comparison};

use super::{
    BackupMade, FindingList, Level, Output, Plan, ReadySaid, SettingList, Tally, Versions, clean,
};

/// Prints ids.
pub struct Quiet<W> {
    out: W,
}

impl<W: Write> Quiet<W> {
    /// On `out`.
    pub fn new(out: W) -> Quiet<W> {
        Quiet { out }
    }

    fn id(&mut self, id: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{id}")
    }
}

impl<W: Write> Output for Quiet<W> {
    fn submitted(&mut self, submitted: &Submitted, _summary: &str) -> io::Result<()> {
        self.id(submitted.id)
    }
    fn item(&mut self, _place: Option<&str>, item: &SubmitItem) -> io::Result<()> {
        match item {
            SubmitItem::Accepted(submitted) => self.id(submitted.id),
            SubmitItem::Refused(_) => Ok(()),
        }
    }
    fn items_end(&mut self, _tally: &Tally, _summary: Option<&str>) -> io::Result<()> {
        Ok(())
    }
    fn plan(&mut self, _plan: &Plan) -> io::Result<()> {
        Ok(())
    }
    fn job(&mut self, _job: &Job) -> io::Result<()> {
        Ok(())
    }
    fn ended(&mut self, _job: &Job) -> io::Result<()> {
        Ok(())
    }
    fn jobs(&mut self, list: &JobList) -> io::Result<()> {
        list.jobs.iter().try_for_each(|job| self.id(job.id))
    }
    fn row(&mut self, job: &Job) -> io::Result<()> {
        self.id(job.id)
    }
    fn changed(&mut self, _jobs: &[(&str, Job)]) -> io::Result<()> {
        Ok(())
    }
    fn explanation(&mut self, _explanation: &Explanation) -> io::Result<()> {
        Ok(())
    }
    fn stats(&mut self, _stats: &Stats) -> io::Result<()> {
        Ok(())
    }
    fn nodes(&mut self, list: &NodeList) -> io::Result<()> {
        list.nodes
            .iter()
            .try_for_each(|node| self.id(clean(&node.name)))
    }
    fn nodes_whole(&mut self, _nodes: &[Node]) -> io::Result<()> {
        Ok(())
    }
    fn nodes_changed(&mut self, _nodes: &[(&str, Node)]) -> io::Result<()> {
        Ok(())
    }
    fn deliveries(&mut self, list: &DeliveryList) -> io::Result<()> {
        list.deliveries.iter().try_for_each(|one| self.id(one.job))
    }
    fn webhook_tested(&mut self, _tested: &WebhookTested) -> io::Result<()> {
        Ok(())
    }
    fn policies(&mut self, list: &PolicyList) -> io::Result<()> {
        list.policies
            .iter()
            .try_for_each(|policy| self.id(clean(&policy.name)))
    }
    fn presets(&mut self, list: &PresetList) -> io::Result<()> {
        list.presets
            .iter()
            .try_for_each(|preset| self.id(clean(&preset.name)))
    }
    fn preset(&mut self, _preset: &PresetDetail) -> io::Result<()> {
        Ok(())
    }
    fn tokens(&mut self, list: &TokenList) -> io::Result<()> {
        list.tokens.iter().try_for_each(|token| self.id(token.id))
    }
    /// The secret: without it the token is of no use to a script.
    fn token(&mut self, made: &CreatedToken) -> io::Result<()> {
        self.id(&made.secret)
    }
    fn policy(&mut self, _policy: &PolicyDetail) -> io::Result<()> {
        Ok(())
    }
    fn policy_dump(&mut self, _dump: &PolicyDump) -> io::Result<()> {
        Ok(())
    }
    fn policy_log(&mut self, log: &PolicyLog) -> io::Result<()> {
        log.lines
            .iter()
            .try_for_each(|line| self.id(clean(&line.message)))
    }
    fn policy_log_event(&mut self, event: &PolicyLogEvent) -> io::Result<()> {
        match event {
            PolicyLogEvent::Line(line) => self.id(clean(&line.message)),
            PolicyLogEvent::Gap => Ok(()),
        }
    }
    fn versions(&mut self, versions: &Versions) -> io::Result<()> {
        self.id(&versions.client)
    }
    fn settings(&mut self, list: &SettingList) -> io::Result<()> {
        list.settings
            .iter()
            .try_for_each(|setting| self.id(&setting.key))
    }
    fn findings(&mut self, list: &FindingList) -> io::Result<()> {
        list.findings
            .iter()
            .filter(|finding| finding.level == Level::Error)
            .try_for_each(|finding| self.id(clean(&finding.message)))
    }
    /// Nothing of it is an id.
    fn comparison(&mut self, _comparison: &Comparison) -> io::Result<()> {
        Ok(())
    }
    /// What failed, as with other checks.
    fn examination(&mut self, examination: &Examination) -> io::Result<()> {
        examination
            .failed()
            .try_for_each(|verdict| self.id(verdict.item.as_str()))
    }
    fn backup(&mut self, made: &BackupMade) -> io::Result<()> {
        self.id(made.folder.display())
    }
    /// The exit code says it.
    fn ready(&mut self, _said: &ReadySaid) -> io::Result<()> {
        Ok(())
    }
    fn remark(&mut self, _text: &str) -> io::Result<()> {
        Ok(())
    }
}
