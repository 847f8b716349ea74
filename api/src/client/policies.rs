//! Calls about policies.

use super::{Client, FollowPolicyLog, NO_BODY, Result, escape};
use crate::rest::{LogLevel, PolicyDetail, PolicyDump, PolicyList, PolicyLog};

/// Which lines of the policies' log to ask for.
#[derive(Debug, Clone, Default)]
pub struct PolicyLogQuery {
    /// Only of this policy.
    pub policy: Option<String>,
    /// Only of this level and above.
    pub level: Option<LogLevel>,
    /// How many of the last lines; the master's default without.
    pub lines: Option<usize>,
}

impl PolicyLogQuery {
    fn to_path(&self, follow: bool) -> String {
        let mut pairs = vec![format!("follow={follow}")];
        pairs.extend(
            self.policy
                .iter()
                .map(|name| format!("policy={}", escape(name))),
        );
        pairs.extend(self.level.map(|level| format!("level={level}")));
        pairs.extend(self.lines.map(|lines| format!("lines={lines}")));
        format!("/v1/policy-log?{}", pairs.join("&"))
    }
}

impl Client {
    /// `GET /v1/policies/{name}`.
    #[allow(clippy::missing_errors_doc)]
    pub fn policy(&self, name: &str) -> Result<PolicyDetail> {
        self.read(&format!("/v1/policies/{}", escape(name)))
    }

    /// `POST /v1/policies/{name}/activate`: lets a policy rule and pins it. `policy` is a name, the beginning of a digest, or
    /// `native`.
    #[allow(clippy::missing_errors_doc)]
    pub fn activate_policy(&self, policy: &str) -> Result<PolicyList> {
        self.order_policies(true, &format!("{}/activate", escape(policy)))
    }

    /// `POST /v1/policies/unpin`: lets files choose again.
    #[allow(clippy::missing_errors_doc)]
    pub fn unpin_policy(&self) -> Result<PolicyList> {
        self.order_policies(true, "unpin")
    }

    /// `POST /v1/policies/{name}/disable`: keeps a policy from ruling.
    #[allow(clippy::missing_errors_doc)]
    pub fn disable_policy(&self, name: &str) -> Result<PolicyList> {
        self.order_policies(true, &format!("{}/disable", escape(name)))
    }

    /// `POST /v1/policies/{name}/enable`: undoes that.
    #[allow(clippy::missing_errors_doc)]
    pub fn enable_policy(&self, name: &str) -> Result<PolicyList> {
        self.order_policies(true, &format!("{}/enable", escape(name)))
    }

    /// `POST /v1/policies/rollback`: the policy that ruled before rules again. Never repeated: twice goes back twice.
    #[allow(clippy::missing_errors_doc)]
    pub fn roll_back_policy(&self) -> Result<PolicyList> {
        self.order_policies(false, "rollback")
    }

    /// `POST /v1/policies/{name}/shadow`: a policy is asked what the one that rules is asked, and nothing it says is carried
    /// out. `policy` is a name, the beginning of a digest, or `native`.
    #[allow(clippy::missing_errors_doc)]
    pub fn shadow_policy(&self, policy: &str) -> Result<PolicyList> {
        self.order_policies(true, &format!("{}/shadow", escape(policy)))
    }

    /// `POST /v1/policies/unshadow`: ends that.
    #[allow(clippy::missing_errors_doc)]
    pub fn unshadow_policy(&self) -> Result<PolicyList> {
        self.order_policies(false, "unshadow")
    }

    fn order_policies(&self, repeatable: bool, order: &str) -> Result<PolicyList> {
        self.call(repeatable, |client| {
            client.post(&format!("/v1/policies/{order}"), &NO_BODY)
        })
    }

    /// `GET /v1/policies`.
    #[allow(clippy::missing_errors_doc)]
    pub fn policies(&self) -> Result<PolicyList> {
        self.read("/v1/policies")
    }

    /// `GET /v1/policies/{name}/dump`. `policy` is a name, the beginning of a digest, or `native`.
    #[allow(clippy::missing_errors_doc)]
    pub fn dump_policy(&self, policy: &str) -> Result<PolicyDump> {
        self.read(&format!("/v1/policies/{}/dump", escape(policy)))
    }

    /// `GET /v1/policy-log`: the last lines.
    #[allow(clippy::missing_errors_doc)]
    pub fn policy_log(&self, query: &PolicyLogQuery) -> Result<PolicyLog> {
        self.read(&query.to_path(false))
    }

    /// `GET /v1/policy-log?follow=true`: the last lines and those that come. Reconnects by itself.
    pub fn follow_policy_log(&self, query: &PolicyLogQuery) -> FollowPolicyLog<'_> {
        FollowPolicyLog::new(self, query.to_path(true))
    }
}
