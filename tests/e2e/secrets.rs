//! No secret leaves by a side door: logs, arguments, the environment of ffmpeg.

use std::fs;

use ffrtmp_api::{
    ids::JobRef,
    job::JobState,
    rest::{NewToken, Role},
};

use crate::cluster::{Cluster, endless, until};

/// Processes whose parent's parent (or so) is `pid`: all descendants.
fn descendants(pid: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|candidate: &u32| {
            let mut at = *candidate;
            while let Some(up) = parent(at).filter(|up| *up > 1) {
                if up == pid {
                    return true;
                }
                at = up;
            }
            false
        })
        .collect()
}

#[test]
fn no_secret_is_in_a_log_an_argument_or_ffmpeg_s_environment() {
    let admin = "correct-horse-battery-staple";
    let mut cluster = Cluster::new();
    cluster.token = Some(admin.into());
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let made = cluster
        .client()
        .create_token(&NewToken {
            name: "alice".into(),
            role: Role::Submit,
            expires_in_seconds: Some(3_600),
            tenant: None,
            uses: None,
        })
        .unwrap();
    let alice = cluster.client_with(Some(made.secret.clone()));
    let id = alice.submit(&endless()).unwrap().id;
    cluster.until_state(id, &[JobState::Running]);
    let worker = cluster.worker("w1").child.id();
    let children = until("ffmpeg runs", || {
        let children = descendants(worker);
        let is_ffmpeg = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.trim() == "ffmpeg")
        };
        children.iter().any(is_ffmpeg).then_some(children)
    });
    let secrets = [admin, made.secret.as_str()];
    for pid in children {
        for what in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            for secret in secrets {
                assert!(
                    !text.contains(secret),
                    "a secret is in {what} of {pid}: {text}"
                );
            }
        }
    }
    for pid in [worker, cluster.master.as_ref().unwrap().child.id()] {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            secrets.iter().all(|secret| !text.contains(secret)),
            "{text}"
        );
    }
    alice.cancel(JobRef::Seq(id)).unwrap();
    cluster.until_state(id, &[JobState::Canceled]);
    let refused = cluster
        .client_with(Some(format!("{}x", made.secret)))
        .nodes();
    assert!(!refused.unwrap_err().to_string().contains(&made.secret));
    for log in ["master", "w1"] {
        let text = cluster.log(log);
        assert!(!text.is_empty());
        assert!(
            secrets.iter().all(|secret| !text.contains(secret)),
            "a secret is in {log}'s log"
        );
    }
    // Who did what is in the audit: by name, never by secret.
    let master = cluster.log("master");
    for part in ["/v1/tokens", "/cancel", "alice", "refused"] {
        assert!(
            master
                .lines()
                .any(|line| line.contains("audit") && line.contains(part)),
            "{part:?} is in no audit line"
        );
    }
    cluster.finish();
}
