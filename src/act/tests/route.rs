//! Moving the weights of a route that others have rules and backends in, and back.

use super::*;
use crate::api::mark::SWITCHED_BY;
use crate::plan::weights::{self, Backend};

const ROUTE: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/edge";

/// Three rules, of which the second is not ours, and our pair is in the other two.
fn rules(shares: [[i64; 2]; 2]) -> Value {
    let pair = |[home, standby]: [i64; 2]| json!([{"name": "checkout", "port": 80, "weight": home}, {"name": "spare", "weight": standby}]);
    json!([{"backendRefs": pair(shares[0]), "matches": [{"path": {"value": "/a"}}]},
        {"backendRefs": [{"name": "static", "weight": 7}]}, {"backendRefs": pair(shares[1])}])
}

fn recorded(shares: [[i64; 2]; 2]) -> String {
    let all = weights::of(&json!({"spec": {"rules": rules(shares)}}), "shop");
    weights::recorded(&all.into_iter().filter(|backend| backend.service != "static").collect::<Vec<Backend>>())
}

const HOME: [[i64; 2]; 2] = [[1, 0], [9, 1]];
const SHARED: [[i64; 2]; 2] = [[20, 80], [20, 80]];
const AWAY: [[i64; 2]; 2] = [[0, 100], [0, 100]];

fn server(shares: [[i64; 2]; 2], moved_by: Option<&str>) -> Server {
    let metadata = moved_by.map_or(json!({}), |name| json!({"annotations": {SWITCHED_BY: name}}));
    let spec = json!({"spec": {"hostnames": ["shop.example"], "rules": rules(shares)}});
    Server::with([(ROUTE, object("HTTPRoute", "edge", metadata, spec))])
}

fn moving(remediation: Remediation, from: [[i64; 2]; 2], to: [[i64; 2]; 2]) -> Step {
    step(remediation, "HTTPRoute", "edge", &recorded(from), &recorded(to))
}

fn away() -> Step {
    moving(Remediation::SwitchRoute, HOME, AWAY)
}

/// Each weight by its place, after a look that its backend is still the one that is meant.
fn written(shares: [[i64; 2]; 2]) -> Vec<Value> {
    let places = [0, 2]
        .into_iter()
        .zip(shares)
        .flat_map(|(rule, [home, standby])| [(rule, 0, "checkout", home), (rule, 1, "spare", standby)]);
    places
        .flat_map(|(rule, place, service, weight)| {
            let path = format!("/spec/rules/{rule}/backendRefs/{place}");
            [
                json!({"op": "test", "path": format!("{path}/name"), "value": service}),
                json!({"op": "add", "path": format!("{path}/weight"), "value": weight}),
            ]
        })
        .collect()
}

#[tokio::test]
async fn only_our_weights_are_written_and_the_route_is_marked() {
    let server = server(HOME, None);
    assert_eq!(receipt(&server, &away()).await, Receipt::Done);
    let mark = [
        json!({"op": "add", "path": "/metadata/annotations", "value": {}}),
        json!({"op": "add", "path": "/metadata/annotations/homeostat.dev~1switched-by", "value": RECOVERY}),
    ];
    assert_eq!(server.only_write().body, guarded(written(AWAY).into_iter().chain(mark)));
    assert_eq!(receipt(&server, &away()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_share_goes_home_under_the_mark_and_the_rest_takes_it_away() {
    let server = server(AWAY, Some(RECOVERY));
    let share = moving(Remediation::ShiftRoute, AWAY, SHARED);
    assert_eq!(receipt(&server, &share).await, Receipt::Done);
    let mark = json!({"op": "replace", "path": "/metadata/annotations/homeostat.dev~1switched-by", "value": RECOVERY});
    assert_eq!(server.only_write().body, guarded(written(SHARED).into_iter().chain([mark])));
    assert_eq!(receipt(&server, &share).await, Receipt::AlreadyDone);

    let shared = self::server(SHARED, Some(RECOVERY));
    let rest = moving(Remediation::ReturnRoute, SHARED, HOME);
    assert_eq!(receipt(&shared, &rest).await, Receipt::Done);
    let unmark = json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1switched-by"});
    assert_eq!(shared.only_write().body, guarded(written(HOME).into_iter().chain([unmark])));
    assert_eq!(receipt(&shared, &rest).await, Receipt::AlreadyDone);
}

#[tokio::test]
async fn weights_that_are_home_already_only_lose_our_mark() {
    let rest = moving(Remediation::ReturnRoute, SHARED, HOME);
    let marked = server(HOME, Some(RECOVERY));
    assert_eq!(receipt(&marked, &rest).await, Receipt::Done);
    let unmark = json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1switched-by"});
    assert_eq!(marked.only_write().body, guarded([unmark]));
    let others = server(HOME, Some("other"));
    assert_eq!(receipt(&others, &rest).await, Receipt::AlreadyDone);
    assert_eq!(others.writes(), []);
}

#[tokio::test]
async fn weights_that_somebody_else_moved_are_left_alone() {
    let more = Server::with([(
        ROUTE,
        object("HTTPRoute", "edge", json!({}), {
            let mut rules = rules(HOME);
            rules.as_array_mut().unwrap().push(json!({"backendRefs": [{"name": "checkout"}]}));
            json!({"spec": {"rules": rules}})
        }),
    )]);
    let cases = [
        (away(), server([[1, 1], [9, 1]], None)),
        (away(), server(AWAY, None)),
        (away(), server(HOME, Some("other"))),
        (away(), more),
        (moving(Remediation::ShiftRoute, AWAY, SHARED), server(AWAY, Some("other"))),
        (moving(Remediation::ReturnRoute, SHARED, HOME), server([[30, 70], [20, 80]], Some(RECOVERY))),
    ];
    for (step, server) in cases {
        assert!(matches!(receipt(&server, &step).await, Receipt::Moved(_)), "{step:?}");
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn weights_that_lead_nowhere_are_never_written() {
    let server = server(HOME, None);
    let nowhere = recorded([[0, 0], [0, 0]]);
    let nameless = recorded(AWAY).replace("checkout", "");
    let negative = recorded([[-1, 100], [0, 100]]);
    for to in ["", "[]", "3", &nowhere, &nameless, &negative] {
        let step = Step { to: to.into(), ..away() };
        assert_eq!(perform(&server, &step).await.unwrap_err().category(), "Invalid", "{to}");
    }
    let other = step(Remediation::SwitchRoute, "Service", "edge", &recorded(HOME), &recorded(AWAY));
    assert_eq!(perform(&server, &other).await.unwrap_err().category(), "Invalid");
    assert_eq!(server.writes(), []);
}
