//! Who may use which route: **the** table, and nothing beside it.
//!
//! A route behind the token that is not in here answers nobody, and a test fails that compares the table with the routes.

use axum::http::Method;
use ffrtmp_api::rest::Role;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The role.
    pub needs: Needs,
    /// What a caller that is limited to a tenant sees there.
    pub scope: Scope,
}

/// The role a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Who may look: admin, submit, read.
    Read,
    /// Who may submit and control: admin, submit.
    Submit,
    /// Who may run the cluster: admin.
    Admin,
    /// A worker; or admin, for the cluster with one token for everything.
    Worker,
    /// Who may become a worker.
    Join,
}

/// What a caller that is limited to a tenant sees on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The route is about the job in its path: another tenant's job is as if it were not there. Checked before the handler.
    Job,
    /// The handler narrows what it takes or shows to the tenant.
    Own,
    /// It shows or changes the whole cluster: refused.
    Cluster,
}

impl Needs {
    /// Whether this role is enough.
    pub fn allows(self, role: Role) -> bool {
        match self {
            Needs::Read => matches!(role, Role::Admin | Role::Submit | Role::Read),
            Needs::Submit => matches!(role, Role::Admin | Role::Submit),
            Needs::Admin => role == Role::Admin,
            Needs::Worker => matches!(role, Role::Admin | Role::Worker),
            Needs::Join => role == Role::Join,
        }
    }

    /// The least role that is enough.
    pub fn least(self) -> Role {
        match self {
            Needs::Read => Role::Read,
            Needs::Submit => Role::Submit,
            Needs::Admin => Role::Admin,
            Needs::Worker => Role::Worker,
            Needs::Join => Role::Join,
        }
    }
}

use Needs::{Admin, Join, Read, Submit, Worker};
use Scope::{Cluster, Job, Own};

/// Method, path, role, scope.
const TABLE: &[(&str, &str, Needs, Scope)] = &[
    ("POST", "/v1/jobs", Submit, Own),
    ("GET", "/v1/jobs", Read, Own),
    ("POST", "/v1/jobs/batch", Submit, Own),
    ("GET", "/v1/jobs/{job}", Read, Job),
    ("GET", "/v1/jobs/{job}/watch", Read, Job),
    ("GET", "/v1/jobs/{job}/logs", Read, Job),
    ("POST", "/v1/jobs/{job}/cancel", Submit, Job),
    ("POST", "/v1/jobs/{job}/stop", Submit, Job),
    ("POST", "/v1/jobs/{job}/pause", Submit, Job),
    ("POST", "/v1/jobs/{job}/resume", Submit, Job),
    ("PATCH", "/v1/jobs/{job}", Submit, Job),
    ("POST", "/v1/jobs/{job}/retry", Submit, Job),
    ("GET", "/v1/jobs/{job}/history", Read, Job),
    ("GET", "/v1/jobs/{job}/explain", Read, Job),
    ("GET", "/v1/jobs/{job}/output", Read, Job),
    ("DELETE", "/v1/jobs/{job}/output", Submit, Job),
    ("POST", "/v1/uploads", Submit, Own),
    ("GET", "/v1/uploads/{id}", Submit, Own),
    ("PATCH", "/v1/uploads/{id}", Submit, Own),
    ("DELETE", "/v1/uploads/{id}", Submit, Own),
    ("GET", "/v1/uploads/{id}/content", Worker, Cluster),
    (
        "GET",
        "/v1/jobs/{job}/attempts/{attempt}/output",
        Worker,
        Job,
    ),
    (
        "POST",
        "/v1/jobs/{job}/attempts/{attempt}/output",
        Worker,
        Job,
    ),
    (
        "PATCH",
        "/v1/jobs/{job}/attempts/{attempt}/output",
        Worker,
        Job,
    ),
    (
        "POST",
        "/v1/jobs/{job}/attempts/{attempt}/publish",
        Worker,
        Job,
    ),
    ("GET", "/v1/jobs/{job}/webhooks", Read, Job),
    ("POST", "/v1/jobs/{job}/webhooks/retry", Submit, Job),
    ("GET", "/v1/webhooks", Read, Cluster),
    ("POST", "/v1/webhooks/test", Submit, Own),
    ("GET", "/v1/webhooks/secret", Submit, Own),
    ("GET", "/v1/events", Read, Own),
    ("GET", "/v1/stats", Read, Cluster),
    ("GET", "/v1/nodes", Read, Cluster),
    ("GET", "/v1/sd/workers", Read, Cluster),
    ("GET", "/v1/nodes/{name}", Read, Cluster),
    ("POST", "/v1/nodes/{name}/drain", Admin, Cluster),
    ("POST", "/v1/nodes/{name}/undrain", Admin, Cluster),
    ("DELETE", "/v1/nodes/{name}", Admin, Cluster),
    ("GET", "/v1/policies", Read, Cluster),
    ("GET", "/v1/policies/{name}", Read, Cluster),
    ("GET", "/v1/policies/{name}/dump", Read, Cluster),
    ("GET", "/v1/policy-log", Read, Cluster),
    ("POST", "/v1/policies/{name}/activate", Admin, Cluster),
    ("POST", "/v1/policies/{name}/disable", Admin, Cluster),
    ("POST", "/v1/policies/{name}/enable", Admin, Cluster),
    ("POST", "/v1/policies/{name}/shadow", Admin, Cluster),
    ("POST", "/v1/policies/unshadow", Admin, Cluster),
    ("POST", "/v1/policies/unpin", Admin, Cluster),
    ("POST", "/v1/policies/rollback", Admin, Cluster),
    // The same for every tenant: whoever submits may name them.
    ("GET", "/v1/presets", Read, Own),
    ("GET", "/v1/presets/{name}", Read, Own),
    ("GET", "/v1/tokens", Admin, Cluster),
    ("POST", "/v1/tokens", Admin, Cluster),
    ("DELETE", "/v1/tokens/{token}", Admin, Cluster),
    ("POST", "/v1/join", Join, Cluster),
    ("GET", "/v1/worker/session", Worker, Cluster),
    ("POST", "/jobs", Submit, Own),
    ("GET", "/jobs", Read, Own),
    ("GET", "/jobs/{job}", Read, Job),
    ("POST", "/jobs/{job}/cancel", Submit, Job),
    ("GET", "/nodes", Read, Cluster),
];

/// What this route asks; `None`: nobody may use it.
pub fn of(method: &Method, path: &str) -> Option<Access> {
    let method = match *method {
        // Answered by the same handler.
        Method::HEAD => "GET",
        ref other => other.as_str(),
    };
    TABLE
        .iter()
        .find(|(m, p, ..)| *m == method && *p == path)
        .map(|(_, _, needs, scope)| Access {
            needs: *needs,
            scope: *scope,
        })
}

/// Whether the table knows this path, with whatever method.
pub fn is_known(path: &str) -> bool {
    TABLE.iter().any(|(_, p, ..)| *p == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_holds_exactly_the_routes_there_are() {
        let document = super::super::guarded_routes().into_parts().1;
        let document = serde_json::to_value(&document).unwrap();
        let routes: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = ["get", "put", "post", "delete", "patch"];
                methods
                    .iter()
                    .filter(|method| item.get(**method).is_some())
                    .map(|method| (method.to_uppercase(), path.clone()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let table: BTreeSet<(String, String)> = TABLE
            .iter()
            .map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(table.len(), TABLE.len(), "a route is in the table twice");
        assert_eq!(table, routes);
    }

    #[test]
    fn whatever_changes_something_needs_more_than_looking_and_a_job_s_route_names_the_job() {
        for (method, path, needs, scope) in TABLE {
            if *method != "GET" {
                assert_ne!(*needs, Read, "{method} {path}");
            }
            assert_eq!(path.contains("{job}"), *scope == Job, "{method} {path}");
        }
    }

    #[test]
    fn each_role_may_do_what_it_is_for_and_nothing_else() {
        for (needs, roles) in [
            (Read, vec![Role::Admin, Role::Submit, Role::Read]),
            (Submit, vec![Role::Admin, Role::Submit]),
            (Admin, vec![Role::Admin]),
            (Worker, vec![Role::Admin, Role::Worker]),
            (Join, vec![Role::Join]),
        ] {
            let allowed: Vec<Role> = Role::ALL
                .iter()
                .copied()
                .filter(|role| needs.allows(*role))
                .collect();
            assert_eq!(allowed, roles, "{needs:?}");
            assert!(needs.allows(needs.least()));
        }
    }
}
