//! The one place that writes: permit, deadline, guards, and what becomes of each answer.

use http::Method;

use super::server::Answer;
use super::*;

fn freeze() -> Step {
    step(Remediation::FreezeRollout, "Deployment", "checkout", "", "")
}

fn server() -> Server {
    Server::with([(DEPLOYMENT, object("Deployment", "checkout", json!({}), json!({"spec": {"replicas": 3}})))])
}

#[tokio::test]
async fn without_a_permit_nothing_is_sent_at_all() {
    let server = server();
    for left in [Duration::ZERO, Duration::from_millis(900)] {
        let hands = hands_until(&server, left);
        assert_eq!(hands.perform("shop", RECOVERY, "", None, &freeze()).await, Err(Error::NoPermit));
    }
    assert_eq!(server.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_ends_between_read_and_write_stops_the_write() {
    let server = server();
    let (sender, permit) = watch::channel(Permit { until: clock::monotonic() + Duration::from_secs(60) });
    server.next(
        Method::GET,
        Answer::After(Box::new(move |_| {
            sender.send_replace(Permit::none(clock::monotonic()));
        })),
    );
    let hands = Hands::new(server.client(), permit, Arc::new(sealer()), Duration::from_secs(1));
    assert_eq!(hands.perform("shop", RECOVERY, "", None, &freeze()).await, Err(Error::NoPermit));
    assert_eq!(server.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn each_answer_has_its_class_and_nothing_is_repeated() {
    let cases = [
        (409, "Conflict"),
        (422, "Invalid"),
        (403, "Forbidden"),
        (400, "Invalid"),
        (429, "Transient"),
        (500, "Transient"),
        (503, "Transient"),
        (504, "Transient"),
    ];
    for (code, category) in cases {
        let server = server();
        server.next(Method::PATCH, Answer::Refuse(code, "no"));
        let error = perform(&server, &freeze()).await.unwrap_err();
        assert_eq!(error.category(), category, "{code}");
        server.only_write();
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_deadline() {
    for (method, writes) in [(Method::GET, 0), (Method::PATCH, 1)] {
        let server = server();
        server.next(method, Answer::Silence);
        let began = clock::monotonic();
        assert_eq!(perform(&server, &freeze()).await, Err(Error::Timeout(Duration::from_secs(1))));
        assert_eq!(clock::monotonic() - began, Duration::from_secs(1));
        assert_eq!(server.writes().len(), writes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_recognised_when_it_is_repeated() {
    let server = server();
    server.next(Method::PATCH, Answer::Lose);
    assert_eq!(perform(&server, &freeze()).await.unwrap_err().category(), "Timeout");
    assert_eq!(receipt(&server, &freeze()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_change_between_read_and_write_is_moved_and_not_invalid() {
    let server = server();
    server.next(
        Method::PATCH,
        Answer::After(Box::new(|objects| {
            objects.get_mut(DEPLOYMENT).unwrap()["metadata"]["resourceVersion"] = json!("8");
        })),
    );
    assert_eq!(perform(&server, &freeze()).await.unwrap_err().category(), "Moved");
    assert_eq!(server.object(DEPLOYMENT).unwrap()["spec"]["paused"], Value::Null);
}

#[tokio::test]
async fn an_object_replaced_or_deleted_between_read_and_write_is_gone() {
    let server = server();
    server.next(
        Method::PATCH,
        Answer::After(Box::new(|objects| {
            objects.get_mut(DEPLOYMENT).unwrap()["metadata"]["uid"] = json!("u-2");
        })),
    );
    assert_eq!(receipt(&server, &freeze()).await, Receipt::Gone);
    let server = super::writing::server();
    server.next(
        Method::PATCH,
        Answer::After(Box::new(|objects| {
            objects.remove(DEPLOYMENT);
        })),
    );
    assert_eq!(receipt(&server, &freeze()).await, Receipt::Gone);
}

#[tokio::test]
async fn nothing_is_written_to_another_uid_or_to_an_object_that_goes() {
    let replaced = |key: &str, value: &str| {
        let server = server();
        let mut other = server.object(DEPLOYMENT).unwrap();
        other["metadata"][key] = json!(value);
        server.put(DEPLOYMENT, other);
        server
    };
    let missing = Server::default();
    for server in [replaced("uid", "u-2"), replaced("deletionTimestamp", "2026-01-01T00:00:00Z"), missing] {
        for remediation in [
            Remediation::FreezeRollout,
            Remediation::ReleaseFreeze,
            Remediation::RestoreTemplate,
            Remediation::HandBackFields,
        ] {
            let step = step(remediation, "Deployment", "checkout", "a", r#"{"manager":"helm","operation":"Apply"}"#);
            let effect = perform(&server, &step).await.unwrap();
            assert_eq!(
                effect,
                Effect { receipt: Receipt::Gone, object: None, change: String::new(), leftovers: vec![] }
            );
        }
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn impossible_steps_are_invalid_and_lead_nowhere() {
    let server = server();
    let mut nameless = freeze();
    nameless.object.uid = String::new();
    let mut elsewhere = freeze();
    elsewhere.object.name = "../../../../api/v1/namespaces/kube-system/secrets/x".into();
    let mut kind = freeze();
    kind.object.kind = "Secret".into();
    let wrong_kind = step(Remediation::FreezeRollout, "Pod", "checkout", "", "");
    for step in [nameless, elsewhere, kind, wrong_kind] {
        assert_eq!(perform(&server, &step).await.unwrap_err().category(), "Invalid", "{step:?}");
    }
    assert_eq!(server.calls(), []);
}
