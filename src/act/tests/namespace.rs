//! The Pod Security labels of the namespace: only they are written, and only of the namespace that the Recovery is in.

use http::Method;

use super::server::Answer;
use super::*;

const NAMESPACE: &str = "/api/v1/namespaces/shop";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const WARN: &str = "pod-security.kubernetes.io/warn";

fn content(labels: Value) -> Value {
    json!({"metadata": {"labels": labels}})
}

fn good() -> Value {
    content(json!({ENFORCE: "baseline"}))
}

fn bad() -> Value {
    content(json!({ENFORCE: "privileged", WARN: "baseline"}))
}

fn namespace(labels: Value) -> Value {
    object("Namespace", "shop", json!({"labels": labels}), json!({}))
}

fn server() -> Server {
    let live = namespace(json!({ENFORCE: "privileged", WARN: "baseline", "team": "shop"}));
    Server::with([(STATE, state(vec![member("Namespace", "shop", &good(), "")])), (NAMESPACE, live)])
}

fn restore() -> Step {
    step(Remediation::RestoreObject, "Namespace", "shop", &digest(&bad()), &digest(&good()))
}

#[tokio::test]
async fn one_patch_of_just_these_labels_puts_them_back() {
    let server = server();
    assert_eq!(receipt(&server, &restore()).await, Receipt::Done);
    let write = server.only_write();
    assert_eq!((write.method.as_str(), write.path), ("PATCH", format!("{NAMESPACE}?fieldManager=homeostat")));
    let at = |label: &str| format!("/metadata/labels/{}", label.replace('/', "~1"));
    let expected = guarded([
        json!({"op": "replace", "path": at(ENFORCE), "value": "baseline"}),
        json!({"op": "remove", "path": at(WARN)}),
    ]);
    assert_eq!(write.body, expected);
    assert_eq!(receipt(&server, &restore()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn labels_that_are_all_gone_come_back() {
    let server = server();
    server.put(NAMESPACE, object("Namespace", "shop", json!({}), json!({})));
    let restore = step(Remediation::RestoreObject, "Namespace", "shop", &digest(&json!({})), &digest(&good()));
    assert_eq!(receipt(&server, &restore).await, Receipt::Done);
    assert_eq!(server.object(NAMESPACE).unwrap()["metadata"]["labels"], json!({ENFORCE: "baseline"}));
}

#[tokio::test]
async fn what_an_administrator_did_meanwhile_stays() {
    let server = server();
    server.put(NAMESPACE, namespace(json!({ENFORCE: "restricted"})));
    assert!(matches!(receipt(&server, &restore()).await, Receipt::Moved(_)));
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn a_write_between_our_read_and_ours_is_never_overwritten() {
    let server = server();
    let administrator = |objects: &mut server::Objects| {
        let namespace = objects.get_mut(NAMESPACE).unwrap();
        namespace["metadata"]["labels"][ENFORCE] = json!("restricted");
        namespace["metadata"]["resourceVersion"] = json!("8");
    };
    server.next(Method::PATCH, Answer::After(Box::new(administrator)));
    assert_eq!(perform(&server, &restore()).await.unwrap_err().category(), "Moved");
    assert_eq!(server.object(NAMESPACE).unwrap()["metadata"]["labels"][ENFORCE], json!("restricted"));
}

#[tokio::test]
async fn an_account_without_the_right_is_an_error_that_says_so() {
    let server = server();
    server.next(Method::PATCH, Answer::Refuse(403, "mender cannot patch namespaces"));
    assert_eq!(perform(&server, &restore()).await.unwrap_err().category(), "Forbidden");
}

#[tokio::test]
async fn a_namespace_is_never_created_nor_deleted_and_no_other_is_written() {
    let server = server();
    server.delete(NAMESPACE);
    assert_eq!(receipt(&server, &restore()).await, Receipt::Gone);
    let remove = Step { remediation: Remediation::RemoveObject, ..restore() };
    assert_eq!(perform(&server, &remove).await.unwrap_err().category(), "Invalid");
    for remediation in [Remediation::RestoreObject, Remediation::RemoveObject, Remediation::HandBackFields] {
        let mut other = Step { remediation, ..restore() };
        other.object.name = "kube-system".into();
        other.to = match remediation {
            Remediation::HandBackFields => json!({"manager": "helm", "operation": "Update"}).to_string(),
            _ => other.to,
        };
        assert_eq!(perform(&server, &other).await.unwrap_err().category(), "Invalid", "{remediation:?}");
    }
    assert_eq!(server.writes(), []);
}
