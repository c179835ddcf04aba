//! Through what traffic is moved to a standby.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Through what traffic is moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.service), has(self.httpRoute), has(self.grpcRoute)].filter(given, given).size() == 1").message("actions.failover.via says through what traffic is moved: set exactly one of service, httpRoute and grpcRoute"))]
pub struct Via {
    /// Name of the Service whose selector is switched to the standby's. It must lead to the target now. Omitted: traffic is
    /// moved through a route. Example: `checkout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub service: Option<String>,
    /// The HTTPRoute whose weights are moved from the target's Service to the standby's. Needs the operator's capability
    /// `gatewayApi`. Omitted: traffic is moved through something else.
    /// Example: `{name: checkout, standbyService: checkout-standby}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<RouteVia>,
    /// The GRPCRoute whose weights are moved from the target's Service to the standby's. Needs the operator's capability
    /// `gatewayApi`. Omitted: traffic is moved through something else.
    /// Example: `{name: checkout, standbyService: checkout-standby}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_route: Option<RouteVia>,
}

/// A route of the Gateway API whose weights are moved. Each rule of it that leads to the target has exactly two
/// `backendRefs` that get traffic or may get it: a Service that selects the target, and the standby's. Other rules are left
/// alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("100 in self.steps").message("all traffic has to return in the end: write 100 into steps, as in [20, 50, 100]"))]
pub struct RouteVia {
    /// Name of the route. Required. Example: `checkout`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of the Service that selects the standby, and not the target. The route has to name it beside the target's, for
    /// example with weight 0. Required. Example: `checkout-standby`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub standby_service: String,
    /// In what shares traffic returns, in percent, up to 10 of them; after each home has to be healthy for
    /// `verification.window` under that share. A target that is down is left at once. Default: `[20, 50, 100]`.
    /// Example: `[100]`.
    #[serde(default = "default_steps")]
    #[schemars(length(min = 1, max = 10), inner(range(min = 1, max = 100)))]
    pub steps: Vec<i32>,
}

fn default_steps() -> Vec<i32> {
    vec![20, 50, 100]
}

impl Via {
    /// The route, with its kind, if traffic is moved through one.
    #[must_use]
    pub fn route(&self) -> Option<(&'static str, &RouteVia)> {
        let http = self.http_route.as_ref().map(|route| ("HTTPRoute", route));
        http.or_else(|| self.grpc_route.as_ref().map(|route| ("GRPCRoute", route)))
    }

    /// The Services that it names.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        let standby = self.route().map(|(_, route)| route.standby_service.as_str());
        self.service.as_deref().into_iter().chain(standby)
    }
}
