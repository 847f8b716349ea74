//! The one table that says which job state may follow which. Nothing sets a job's state without asking it.

use ffrtmp_api::job::JobState::{self, *};

/// Whether a job in `from` may go to `to`, and why that happens. `None` means never.
///
/// The match is exhaustive on `from`, so a new state cannot be forgotten here.
pub const fn why(from: JobState, to: JobState) -> Option<&'static str> {
    match (from, to) {
        (Pending, Assigned) => Some("placed by the policy"),
        (Pending, Running) => {
            Some("its worker came back before another attempt was sent: re-adopted")
        }
        (Pending, Canceled) => Some("canceled before it was placed"),
        (Pending, Failed | Paused | Publishing | Completed | Pending) => None,

        (Assigned, Running) => Some("ffmpeg was spawned"),
        (Assigned, Pending) => {
            Some("handed back, lost with its worker, or failed and to be tried again")
        }
        (Assigned, Failed) => Some("failed before ffmpeg ran, and is not to be tried again"),
        (Assigned, Canceled) => Some("canceled before ffmpeg ran"),
        (Assigned, Assigned | Paused | Publishing | Completed) => None,

        (Running, Paused) => Some("its ffmpeg was stopped"),
        (Running, Publishing) => Some("encoded and verified; this attempt is chosen"),
        (Running, Completed) => Some("done, with no output to move"),
        (Running, Pending) => {
            Some("handed back, lost with its worker, or failed and to be tried again")
        }
        (Running, Failed) => Some("failed, and is not to be tried again"),
        (Running, Canceled) => Some("canceled while it ran"),
        (Running, Assigned | Running) => None,

        (Paused, Running) => Some("its ffmpeg was continued"),
        (Paused, Pending) => Some("handed back or lost with its worker"),
        (Paused, Failed) => Some("failed, and is not to be tried again"),
        (Paused, Canceled) => Some("canceled while it was paused"),
        (Paused, Assigned | Paused | Publishing | Completed) => None,

        (Publishing, Completed) => Some("the output is in place"),
        (Publishing, Pending) => {
            Some("the finished file is gone, so nobody can move it any more; to be tried again")
        }
        (Publishing, Failed) => Some("the output cannot be moved into place"),
        (Publishing, Assigned | Running | Paused | Publishing | Canceled) => None,

        (Failed | Canceled, Pending) => Some("a user has it tried again"),
        (Failed | Canceled, _) => None,
        (Completed, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_ended_stays_ended_unless_a_user_has_it_tried_again() {
        for from in JobState::ALL.iter().filter(|s| s.is_terminal()) {
            for to in JobState::ALL {
                let again = *to == Pending && *from != Completed;
                assert_eq!(why(*from, *to).is_some(), again, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn every_state_can_be_reached_from_pending_and_every_live_state_can_end() {
        let mut reached = vec![Pending];
        let mut i = 0;
        while let Some(from) = reached.get(i).copied() {
            reached.extend(
                JobState::ALL
                    .iter()
                    .filter(|to| why(from, **to).is_some() && !reached.contains(to))
                    .collect::<Vec<_>>(),
            );
            i += 1;
        }
        assert_eq!(reached.len(), JobState::ALL.len());
        for from in JobState::ALL.iter().filter(|s| s.is_active()) {
            assert!(
                JobState::ALL
                    .iter()
                    .any(|to| to.is_terminal() && why(*from, *to).is_some()),
                "{from} cannot end"
            );
        }
    }
}
