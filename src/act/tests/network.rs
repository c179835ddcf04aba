//! The NetworkPolicy of a quarantine: made, recognised, and taken away.

use super::*;

const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/homeostat-checkout-1";

fn deny() -> Step {
    network(Remediation::DenyPodNetwork)
}

fn allow() -> Step {
    network(Remediation::AllowPodNetwork)
}

fn network(remediation: Remediation) -> Step {
    let mut step = step(remediation, "NetworkPolicy", "homeostat-checkout-1", "", "");
    step.object.uid = String::new();
    step
}

fn ours() -> Value {
    let labels = json!({"homeostat.dev/quarantined-by": RECOVERY});
    let selector = json!({"matchLabels": {"homeostat.dev/quarantined-by": RECOVERY}});
    let spec = json!({"podSelector": selector, "policyTypes": ["Ingress", "Egress"]});
    object("NetworkPolicy", "homeostat-checkout-1", json!({"labels": labels}), json!({"spec": spec}))
}

/// kubescape/operator#388: one that selects by the labels of the pod cuts off its siblings as well.
#[tokio::test]
async fn it_selects_what_only_this_quarantine_carries_and_lets_nothing_through() {
    let server = Server::default();
    assert_eq!(receipt(&server, &deny()).await, Receipt::Done);
    let write = server.only_write();
    assert_eq!((write.method.as_str(), &write.body["spec"]), ("POST", &ours()["spec"]));
    assert_eq!(write.body["metadata"]["labels"]["homeostat.dev/quarantined-by"], json!(RECOVERY));
    assert_eq!(receipt(&server, &deny()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn one_that_is_not_as_we_make_it_is_neither_trusted_nor_deleted() {
    let mut opened = ours();
    opened["spec"]["ingress"] = json!([{}]);
    let mut theirs = ours();
    theirs["metadata"]["labels"] = json!({});
    for live in [opened, theirs.clone()] {
        let server = Server::with([(POLICY, live)]);
        assert!(matches!(receipt(&server, &deny()).await, Receipt::Moved(_)));
        assert_eq!(server.writes(), []);
    }
    let server = Server::with([(POLICY, theirs)]);
    assert!(matches!(receipt(&server, &allow()).await, Receipt::Moved(_)));
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn it_is_deleted_once() {
    let server = Server::with([(POLICY, ours())]);
    assert_eq!(receipt(&server, &allow()).await, Receipt::Done);
    assert_eq!(server.only_write().method.as_str(), "DELETE");
    assert_eq!(receipt(&server, &allow()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn nothing_but_a_network_policy_is_made_or_deleted() {
    let server = Server::default();
    for remediation in [Remediation::DenyPodNetwork, Remediation::AllowPodNetwork] {
        let other = Step { object: ObjectRef { kind: "ConfigMap".into(), ..deny().object }, ..network(remediation) };
        assert_eq!(perform(&server, &other).await.unwrap_err().category(), "Invalid");
    }
    assert_eq!(server.writes(), []);
}
