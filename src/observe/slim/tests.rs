//! What is read from single objects.

use serde_json::{Value, json};

use super::*;
use crate::api::stable_state::FieldOwner;
use crate::plan::content;
use crate::plan::member::MemberKind;

fn object(kind: Kind, object: &Value) -> Object {
    match read(kind, &object.to_string(), &Trust::new(|_| true)).seen {
        Seen::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

fn workload(value: &Value) -> Workload {
    let Object::Workload(workload) = object(Kind::Deployment, value) else { panic!("not a Deployment") };
    *workload
}

fn bare() -> Value {
    json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7"},
        "spec": {"selector": {}, "template": {"metadata": {"creationTimestamp": null}, "spec": {}}}})
}

#[test]
fn defaults_of_a_deployment_are_those_of_kubernetes() {
    let found = workload(&bare());
    assert_eq!((found.replicas, found.progress_deadline), (1, 600));
    assert!(!found.paused && !found.deadline_exceeded && !found.irreversible && !found.deleting);
    assert_eq!((found.owner, found.creation_failure, found.field_owner), (None, None, None));
    assert_eq!(found.digest, content::digest_of(MemberKind::Deployment, &bare()));
}

#[test]
fn conditions_marks_and_owner_of_a_deployment() {
    let mut value = bare();
    value["metadata"]["annotations"] =
        json!({"homeostat.dev/irreversible": "schema 7", "homeostat.dev/frozen-by": "r-1"});
    value["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "x/v1", "kind": "Bystander", "name": "b", "uid": "1"},
        {"apiVersion": "x/v1", "kind": "App", "name": "shop", "uid": "2", "controller": true}]);
    value["spec"]["paused"] = json!(true);
    value["status"] = json!({"observedGeneration": 3, "conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]});
    let found = workload(&value);
    assert!(found.irreversible && found.deadline_exceeded && found.paused);
    assert_eq!(found.owner.as_deref(), Some("App/shop"));
    assert_eq!(found.creation_failure.as_deref(), Some("quota"));
    assert_eq!((found.frozen_by.as_deref(), found.observed_generation), (Some("r-1"), 3));
    value["metadata"]["annotations"]["homeostat.dev/irreversible"] = json!("false");
    assert!(!workload(&value).irreversible);
}

#[test]
fn a_gitops_tool_is_known_by_its_marks() {
    let with = |place: &str, mark: &str| {
        let mut value = bare();
        value["metadata"][place] = json!({mark: "shop"});
        workload(&value).git_ops
    };
    assert_eq!(with("annotations", "argocd.argoproj.io/tracking-id").as_deref(), Some("Argo CD"));
    assert_eq!(with("labels", "helm.toolkit.fluxcd.io/name").as_deref(), Some("Flux"));
    assert_eq!(with("labels", "app.kubernetes.io/managed-by"), None);
    let mut value = bare();
    value["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "shop"});
    assert_eq!(workload(&value).git_ops.as_deref(), Some("Flux"));
    value["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"});
    assert_eq!(workload(&value).git_ops, None, "Flux says that it leaves it alone");
}

/// Argo CD can keep track by a label that Helm uses as well; then only its name among the managers tells.
#[test]
fn a_gitops_tool_is_known_by_its_name_as_a_manager() {
    let with = |manager: &str, subresource: &str| {
        let mut value = bare();
        value["metadata"]["managedFields"] =
            json!([{"manager": "kubectl"}, {"manager": manager, "subresource": subresource}]);
        workload(&value).git_ops
    };
    assert_eq!(with("argocd-controller", "").as_deref(), Some("Argo CD"));
    assert_eq!(with("kustomize-controller", "").as_deref(), Some("Flux"));
    assert_eq!(with("helm", ""), None);
    assert_eq!(with("argocd-controller", "scale"), None, "who scales it does not keep it");
}

#[test]
fn what_belongs_to_a_target_is_known_to_be_kept_as_well() {
    let marked = |kind: &str, spec: Value| {
        json!({"kind": kind, "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7",
            "annotations": {"argocd.argoproj.io/tracking-id": "shop"}}, "spec": spec})
    };
    let Object::ConfigMap(map) = object(Kind::ConfigMap, &marked("ConfigMap", json!(null))) else { panic!("none") };
    assert_eq!(map.git_ops.as_deref(), Some("Argo CD"));
    let Object::Service(service) = object(Kind::Service, &marked("Service", json!({}))) else { panic!("none") };
    assert_eq!(service.git_ops.as_deref(), Some("Argo CD"));
    let policy = marked("NetworkPolicy", json!({"podSelector": {}}));
    let Object::Member(member) = object(Kind::NetworkPolicy, &policy) else { panic!("none") };
    assert_eq!(member.git_ops, Some("Argo CD"));
}

#[test]
fn a_pod_adds_up_its_containers() {
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "s", "uid": "s-uid", "controller": true});
    let value = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": [owner]},
        "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:09Z"}],
            "containerStatuses": [
                {"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                {"restartCount": 1, "state": {"running": {}}}],
            "initContainerStatuses": [{"restartCount": 2, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
    let Object::Pod(pod) = object(Kind::Pod, &value) else { panic!("not a pod") };
    let facts = pod.facts("a", "u");
    assert_eq!((facts.restarts, facts.most_restarts, facts.ready), (6, 3, false));
    assert_eq!(facts.waiting, ["CrashLoopBackOff".to_owned(), "ImagePullBackOff".to_owned()].into());
    assert_eq!(facts.ready_since, "2026-01-01T00:00:09Z".parse().ok());
    assert!(!facts.finished && !facts.deleting);
}

#[test]
fn the_field_owner_has_most_fields_and_is_neither_us_nor_a_subresource() {
    let entry = |manager: &str, operation: &str, subresource: &str, time: &str, fields: Value| {
        json!({"manager": manager, "operation": operation, "subresource": subresource, "time": time,
            "fieldsV1": {"f:spec": {"f:template": fields}}})
    };
    let many = json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}, "f:d": {"f:e": {}, "f:g": {}}});
    let few = json!({".": {}, "f:a": {}});
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let owner = |entries: Value| {
        let mut value = bare();
        value["metadata"]["managedFields"] = entries;
        workload(&value).field_owner
    };
    let named =
        |manager: &str, operation: &str| Some(FieldOwner { manager: manager.into(), operation: operation.into() });
    let helm = entry("helm", "Update", "", early, many.clone());
    let ours = entry("homeostat", "Update", "", late, many.clone());
    let status = entry("kube", "Update", "status", late, many.clone());
    let edit = entry("kubectl-edit", "Update", "", late, few);
    assert_eq!(owner(json!([helm, ours, status, edit])), named("helm", "Update"));
    let argo = entry("argo", "Apply", "", late, many);
    assert_eq!(owner(json!([helm, argo])), named("argo", "Apply"), "of equals the latest");
    assert_eq!(owner(json!([argo, helm])), named("argo", "Apply"), "in any order");
    assert_eq!(owner(json!([ours])), None);
    assert_eq!(owner(json!("odd")), None);
}

#[test]
fn a_copy_of_ours_is_known_by_its_label() {
    let config_map = |labels: Value, immutable: Value| {
        let value = json!({"metadata": {"name": "a", "labels": labels, "managedFields": [
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}]},
            "data": {"a": "1"}, "immutable": immutable});
        let Object::ConfigMap(found) = object(Kind::ConfigMap, &value) else { panic!("not a ConfigMap") };
        *found
    };
    let copy = json!({"homeostat.dev/copy-of": "ConfigMap"});
    assert_eq!(config_map(copy.clone(), json!(true)).sealed_copy, Some(true));
    assert_eq!(config_map(copy, json!(null)).sealed_copy, Some(false));
    let plain = config_map(json!(null), json!(true));
    assert_eq!((plain.sealed_copy, plain.size), (None, r#"{"data":{"a":"1"}}"#.len()));
    assert_eq!(plain.field_owner.map(|owner| owner.manager).as_deref(), Some("kubectl"));
}

#[test]
fn an_endpoint_that_says_nothing_is_ready() {
    let value = json!({"metadata": {"name": "a", "labels": {"kubernetes.io/service-name": "front"}}, "endpoints": [
        {"targetRef": {"kind": "Pod", "uid": "2"}}, {"conditions": {}, "targetRef": {"kind": "Pod", "uid": "1"}},
        {"conditions": {"ready": false}, "targetRef": {"kind": "Pod", "uid": "3"}},
        {"targetRef": {"kind": "Node", "uid": "4"}},
        {"conditions": {"ready": true}}]});
    let Object::EndpointSlice(slice) = object(Kind::EndpointSlice, &value) else { panic!("not a slice") };
    assert_eq!(slice.offered.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["1", "2"]);
}

#[test]
fn the_seal_is_asked_for_the_whole_state() {
    let digest = "0".repeat(64);
    let value = json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"seal": {"keyId": "k", "mac": digest},
        "record": {"policy": "p", "digest": digest,
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "t"},
            "members": [{"kind": "Deployment", "name": "t", "digest": digest, "content": "{}"}],
            "evidence": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:05:00Z", "replicas": 1, "restarts": 0,
                "timeToReadySeconds": 3}}}});
    let verify = |state: &StableState| {
        let metadata = &state.metadata;
        metadata.namespace.as_deref() == Some("n")
            && metadata.name.as_deref() == Some("s")
            && state.spec.record.members[0].content == "{}"
    };
    let trust = Trust::new(verify);
    let sealed = |value: &Value| match read(Kind::StableState, &value.to_string(), &trust).seen {
        Seen::Object(Object::StableState(state)) => state.facts.sealed,
        other => panic!("{other:?}"),
    };
    assert!(sealed(&value));
    let mut forged = value.clone();
    forged["spec"]["record"]["members"][0]["content"] = json!("{\"a\":1}");
    assert!(!sealed(&forged));
}

#[test]
fn a_policy_whose_status_cannot_be_read_is_still_a_policy() {
    let value = json!({"metadata": {"name": "p", "generation": 4}, "status": {"state": "Dreaming"}, "spec": {
        "mode": "Observe", "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "t"}}});
    let Object::RecoveryPolicy(policy) = object(Kind::RecoveryPolicy, &value) else { panic!("not a policy") };
    assert_eq!(policy.facts("u", vec![]).generation, 4);
}

#[test]
fn odd_objects_are_malformed_and_named_as_far_as_they_can_be() {
    for kind in Kind::ALL {
        for raw in ["3", "[]", "{}", "null", r#"{"metadata":null}"#, "{"] {
            let seen = read(kind, raw, &Trust::new(|_| true));
            assert!(matches!(seen.seen, Seen::Malformed(_)), "{kind} {raw}");
            assert!(seen.identity.name.is_empty());
        }
        let labelled = read(kind, r#"{"metadata":{"name":"a","namespace":"n","labels":[]}}"#, &Trust::new(|_| true));
        let namespace = match kind {
            Kind::Namespace => "a",
            _ if kind.of_the_cluster() => "",
            _ => "n",
        };
        assert_eq!((labelled.identity.namespace.as_str(), labelled.identity.name.as_str()), (namespace, "a"));
        assert!(matches!(labelled.seen, Seen::Malformed(_)));
    }
}

fn of_kind(kind: Kind, value: &Value) -> Workload {
    let Object::Workload(workload) = object(kind, value) else { panic!("not a workload") };
    *workload
}

#[test]
fn a_partition_holds_a_stateful_set_still_and_is_no_content_of_it() {
    let mut value = bare();
    value["status"] = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2});
    value["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}});
    let free = of_kind(Kind::StatefulSet, &value);
    assert_eq!(
        (free.kind, free.paused, free.updated_replicas, free.total_replicas),
        (MemberKind::StatefulSet, false, 1, 3)
    );
    value["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(3);
    let held = of_kind(Kind::StatefulSet, &value);
    assert!(held.paused && held.digest == free.digest);
}

#[test]
fn a_daemon_set_wants_as_many_pods_as_its_controller_counts_nodes() {
    let mut value = bare();
    value["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    value["spec"]["template"]["spec"]["priorityClassName"] = json!("system-node-critical");
    value["status"] = json!({"desiredNumberScheduled": 4, "currentNumberScheduled": 4, "updatedNumberScheduled": 1,
        "numberReady": 3, "numberAvailable": 2});
    let found = of_kind(Kind::DaemonSet, &value);
    assert_eq!((found.replicas, found.updated_replicas, found.ready_replicas, found.available_replicas), (4, 1, 3, 2));
    assert!(found.paused && found.node_critical);
}

#[test]
fn a_controller_revision_is_known_by_what_its_pods_carry() {
    let owner =
        |kind: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": "a", "uid": "o", "controller": true}]);
    let revision = |kind: &str, labels: Value| {
        let value = json!({"metadata": {"name": "a-1", "labels": labels, "ownerReferences": owner(kind)},
            "data": {"spec": {"template": {"$patch": "replace", "metadata": {"creationTimestamp": null}, "spec": {}}}}});
        match read(Kind::ControllerRevision, &value.to_string(), &Trust::new(|_| true)).seen {
            Seen::Object(Object::Revision(found)) => Some((found.name.to_string(), found.template.to_string())),
            _ => None,
        }
    };
    let template = content::template_digest(&bare()["spec"]["template"]);
    assert_eq!(revision("StatefulSet", json!({})), Some(("a-1".into(), template.clone())));
    let labels = json!({"controller-revision-hash": "1"});
    assert_eq!(revision("DaemonSet", labels), Some(("1".into(), template)));
    assert_eq!(revision("Other", json!({})), None);
}
