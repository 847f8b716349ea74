//! Choosing jobs by what they are rather than by their ids: the conditions of `jobs list`, and of the commands that change
//! jobs.
//!
//! Separate so that a condition has one name and one meaning everywhere: first `jobs list` with it, then `jobs cancel`.

use std::{fmt::Display, str::FromStr, time::Duration};

use clap::Args;
use ffrtmp_api::{
    client::JobQuery,
    clock::wall_ms,
    job::{JobState, Priority, Queue},
};

use crate::values;

/// Conditions. All given must hold; of the values of one, any.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which jobs")]
pub struct Conditions {
    /// In this state: pending, assigned, running, paused, publishing, completed, failed or canceled
    #[arg(long, value_delimiter = ',', value_parser = word::<JobState>)]
    pub state: Vec<JobState>,
    /// Of this queue: live, default or batch
    #[arg(long, value_delimiter = ',', value_parser = word::<Queue>)]
    pub queue: Vec<Queue>,
    /// Of this priority: high, medium or low
    #[arg(long, value_delimiter = ',', value_parser = word::<Priority>)]
    pub priority: Vec<Priority>,
    /// With this label; of several, with all
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value)]
    pub label: Vec<(String, String)>,
    /// Last placed on this worker
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

/// A word of an enum, with the words there are as the error.
fn word<T: FromStr<Err = String> + Display>(text: &str) -> Result<T, String> {
    text.parse()
}

impl Conditions {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        let Conditions {
            state,
            queue,
            priority,
            label,
            node,
        } = self;
        state.is_empty()
            && queue.is_empty()
            && priority.is_empty()
            && label.is_empty()
            && node.is_none()
    }

    /// As a question to the master.
    pub fn query(&self) -> JobQuery {
        JobQuery {
            states: self.state.clone(),
            queues: self.queue.clone(),
            priorities: self.priority.clone(),
            labels: self.label.clone(),
            node: self.node.clone(),
            ..JobQuery::default()
        }
    }
}

/// Jobs by conditions, for a command that changes them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which jobs")]
pub struct Selector {
    /// What they are.
    #[command(flatten)]
    conditions: Conditions,
    /// Submitted at least so long ago, as in 30m or 2h
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    older_than: Option<Duration>,
    /// All that this can be done to
    #[arg(long)]
    pub all: bool,
    /// Do not ask whether --all is meant
    #[arg(long, short = 'y', requires = "all")]
    pub yes: bool,
}

impl Selector {
    /// Whether any jobs are selected by it.
    pub fn is_given(&self) -> bool {
        self.all || self.older_than.is_some() || !self.conditions.is_empty()
    }

    /// Whether it has conditions.
    pub fn has_conditions(&self) -> bool {
        self.older_than.is_some() || !self.conditions.is_empty()
    }

    /// As a question to the master, for jobs in one of `able`, the states in which it can be done.
    ///
    /// # Errors
    /// When the user asked for a state in which it cannot be done.
    pub fn query(&self, verb: &str, able: &[JobState]) -> Result<JobQuery, String> {
        let mut query = self.conditions.query();
        if let Some(state) = query.states.iter().find(|state| !able.contains(state)) {
            let able: Vec<&str> = able.iter().map(|state| state.as_str()).collect();
            return Err(format!(
                "--state: a {state} job cannot be {verb}; those that are {} can",
                able.join(", ")
            ));
        }
        if query.states.is_empty() {
            query.states = able.to_vec();
        }
        query.until_ms = self.older_than.map(|age| {
            wall_ms()
                .saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
                .max(0)
        });
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_in_which_it_cannot_be_done_is_refused_with_those_in_which_it_can() {
        let selector = Selector {
            conditions: Conditions {
                state: vec![JobState::Completed],
                ..Conditions::default()
            },
            ..Selector::default()
        };
        let able = [JobState::Failed, JobState::Canceled];
        assert_eq!(
            selector.query("tried again", &able).unwrap_err(),
            "--state: a completed job cannot be tried again; those that are failed, canceled can"
        );
        let query = Selector::default().query("tried again", &able).unwrap();
        assert_eq!(query.states, able, "without a state: in any of those");
    }
}
