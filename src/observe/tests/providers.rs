//! The real client, and a server on loopback that answers as it is told. What Prometheus itself answers is tested in
//! tests/incidents.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::api::Check;
use crate::clock;
use crate::observe::Providers;

#[derive(Deserialize)]
struct Asked {
    query: String,
}

/// A server that answers every question so.
async fn serve(answer: impl Fn(String) -> (StatusCode, String) + Clone + Send + Sync + 'static) -> Uri {
    let asked = move |Query(asked): Query<Asked>| {
        let answer = answer.clone();
        async move {
            match asked.query.as_str() {
                "silence" => std::future::pending().await,
                _ => answer(asked.query),
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/below/api/v1/query", get(asked));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}/below").parse().unwrap()
}

fn providers(address: Uri) -> Providers {
    Providers::new([("main".to_owned(), address)]).unwrap()
}

fn check(query: &str) -> Check {
    let (name, provider, query) = ("errors".into(), "main".into(), query.into());
    Check { name, provider, query, max: None, min: None, window: None }
}

async fn found(status: u16, body: &str) -> Result<f64, String> {
    let body = body.to_owned();
    let address = serve(move |_| (StatusCode::from_u16(status).unwrap(), body.clone())).await;
    let mut answers = providers(address).ask(&[check("up")]).await;
    answers.pop().unwrap().found
}

fn vector(series: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#)
}

#[tokio::test]
async fn one_number_is_a_value() {
    assert_eq!(found(200, &vector(r#"{"metric":{"a":"b"},"value":[1700000000.123,"0.37"]}"#)).await, Ok(0.37));
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000,"-2"]},"warnings":["w"]}"#;
    assert_eq!(found(200, scalar).await, Ok(-2.0));
}

#[tokio::test]
async fn anything_else_is_no_data_and_says_what_to_do() {
    let one = r#"{"metric":{},"value":[1,"1"]}"#;
    let histogram = r#"{"metric":{},"histogram":[1,{}]}"#;
    let of = |value: &str| vector(&format!(r#"{{"metric":{{}},"value":[1,"{value}"]}}"#));
    let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error: \u001b[31m unexpected"}"#;
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    let long = format!(r#"{{"status":"error","error":"{}"}}"#, "x".repeat(5000));
    for (status, body, says) in [
        (200, vector(""), "no data: no series"),
        (200, vector(&format!("{one},{one}")), "2 series; let the query give one value"),
        (200, vector(histogram), "a histogram"),
        (200, of("NaN"), "no data: the value is NaN"),
        (200, of("+Inf"), "no data: the value is +Inf"),
        (200, matrix.to_owned(), "ranges or a text"),
        (400, refused.to_owned(), r"it refuses the query: parse error: \u{1b}[31m unexpected"),
        (400, long, "it refuses the query: xxxx"),
        (503, "busy".to_owned(), "HTTP status 503"),
        (302, String::new(), "HTTP status 302"),
        (200, "<html>".to_owned(), "check its address"),
        (200, "{}".to_owned(), "check its address"),
        (200, vector(&one.repeat(3000)), "more than 65536 bytes"),
    ] {
        let why = found(status, &body).await.expect_err(says);
        assert!(why.contains(says) && why.chars().count() < 300, "{why}");
    }
}

#[tokio::test]
async fn the_query_arrives_as_it_is() {
    let query = r#"sum(rate(a{b=~"5..",c!="ü & é"}[1m])) + 1 > 0"#;
    let address = serve(move |asked| match asked == query {
        true => (StatusCode::OK, vector(r#"{"value":[1,"1"]}"#)),
        false => (StatusCode::BAD_REQUEST, asked),
    })
    .await;
    assert_eq!(providers(address).ask(&[check(query)]).await[0].found, Ok(1.0));
}

#[tokio::test]
async fn silence_ends_in_time_and_holds_up_nobody_else() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let good = serve(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        (StatusCode::OK, vector(r#"{"value":[1,"1"]}"#))
    })
    .await;
    let silent = serve(|_| (StatusCode::OK, String::new())).await;
    let providers = Providers::new([("main".to_owned(), silent), ("other".to_owned(), good)]).unwrap();
    let begun = clock::monotonic();
    let five = vec![check("silence"); 5];
    let other = async {
        let answers = providers.ask(&vec![Check { provider: "other".into(), ..check("up") }; 20]).await;
        assert!(answers.iter().all(|answer| answer.found == Ok(1.0)), "{answers:?}");
        begun.elapsed()
    };
    let (silence, other) = tokio::join!(providers.ask(&five), other);
    assert!(other < Duration::from_secs(3), "{other:?}");
    assert!(silence.iter().all(|answer| answer.found.as_ref().is_err_and(|why| why.contains("within 3 s"))));
    // Four at once, each asked once; the fifth is as old as its own beginning.
    let all = begun.elapsed();
    assert!((Duration::from_secs(6)..Duration::from_secs(9)).contains(&all), "{all:?}");
    assert!(silence[4].at.duration_since(silence[0].at).as_secs() >= 2);
    assert_eq!(count.load(Ordering::Relaxed), 20);
}

#[tokio::test]
async fn who_cannot_be_asked_is_named_with_the_way_out() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let providers = providers(format!("http://{nobody}").parse().unwrap());
    let why = providers.ask(&[check("up")]).await[0].found.clone().unwrap_err();
    assert!(why.contains("not reached") && why.contains("refused"), "{why}");
    let unknown = Check { provider: "mian".into(), ..check("up") };
    let why = providers.ask(&[unknown]).await[0].found.clone().unwrap_err();
    assert!(why.contains("`providers`") && why.ends_with("main"), "{why}");
}
