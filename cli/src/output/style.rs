//! Colour: which words get it, and whether any does.
//!
//! Colour is only ever an addition: everything it says is also said by a word, and it appears on terminals only.

use ffrtmp_api::{job::JobState, rest::NodeStatus};

/// Whether to colour: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>) or the terminal is dumb.
pub fn colour_wanted(is_terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// Nothing special.
    #[default]
    Plain,
    /// A heading or a name.
    Strong,
    /// Less important.
    Faint,
    /// Went well.
    Good,
    /// Under way.
    Busy,
    /// Worth a look.
    Warn,
    /// Went wrong.
    Bad,
}

impl Style {
    /// `text` with this style's escape sequences, if `colour`.
    pub fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Style::Plain => return text.to_owned(),
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Busy => "36",
            Style::Warn => "33",
            Style::Bad => "31",
        };
        if colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The style of a job's state.
pub fn of_job(state: JobState) -> Style {
    match state {
        JobState::Pending => Style::Plain,
        JobState::Assigned | JobState::Running | JobState::Publishing => Style::Busy,
        JobState::Paused | JobState::Canceled => Style::Warn,
        JobState::Completed => Style::Good,
        JobState::Failed => Style::Bad,
    }
}

/// The style of a worker's status.
pub fn of_node(status: NodeStatus) -> Style {
    match status {
        NodeStatus::Available => Style::Good,
        NodeStatus::Busy => Style::Busy,
        NodeStatus::Draining | NodeStatus::Quarantined => Style::Warn,
        NodeStatus::Offline => Style::Bad,
    }
}

/// The style of a policy's state; the words are the API's.
pub fn of_policy(state: &str) -> Style {
    match state {
        "active" => Style::Good,
        "refused" | "faulted" => Style::Bad,
        "fallback" => Style::Warn,
        _ => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_text_is_untouched() {
        assert_eq!(Style::Bad.paint("x", false), "x");
        assert_eq!(Style::Bad.paint("x", true), "\x1b[31mx\x1b[0m");
        assert!(!colour_wanted(false));
    }
}
