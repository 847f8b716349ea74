//! The face for programs: the API's own JSON, as one document or one object a line.
//!
//! It must never print anything that is not JSON.

use std::io::{self, Write};

use ffrtmp_api::rest::{CreatedToken, Job, JobList, NodeList, PolicyList, Submitted, TokenList};
use serde::Serialize;

use super::{Output, Versions};

/// Prints JSON.
pub struct Json<W> {
    out: W,
    lines: bool,
}

impl<W: Write> Json<W> {
    /// One object a line if `lines`, else one indented document.
    pub fn new(out: W, lines: bool) -> Json<W> {
        Json { out, lines }
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
    fn job(&mut self, job: &Job) -> io::Result<()> {
        self.one(job)
    }
    fn ended(&mut self, job: &Job) -> io::Result<()> {
        self.one(job)
    }
    fn jobs(&mut self, list: &JobList) -> io::Result<()> {
        self.list(list, &list.jobs)
    }
    fn changed(&mut self, jobs: &[(&str, Job)]) -> io::Result<()> {
        let jobs = jobs.iter().map(|(_, job)| job.clone()).collect();
        self.jobs(&JobList {
            jobs,
            next_cursor: None,
        })
    }
    fn nodes(&mut self, list: &NodeList) -> io::Result<()> {
        self.list(list, &list.nodes)
    }
    fn policies(&mut self, list: &PolicyList) -> io::Result<()> {
        self.list(list, &list.policies)
    }
    fn tokens(&mut self, list: &TokenList) -> io::Result<()> {
        self.list(list, &list.tokens)
    }
    fn token(&mut self, made: &CreatedToken) -> io::Result<()> {
        self.one(made)
    }
    fn versions(&mut self, versions: &Versions) -> io::Result<()> {
        self.one(versions)
    }
}
