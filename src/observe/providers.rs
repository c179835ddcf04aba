//! Metrics providers: anything that answers the query API of Prometheus. One question, one number, or why there is none.
//!
//! A deadline on every question, no repetition, a bound on what is read, and few questions at once to each provider, so
//! that one that is silent holds up nobody but those who ask it. This module must not judge a value.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use http::{Request, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::wire::escape;
use crate::api::Check;
use crate::clock;
use crate::plan::facts::CheckAnswer;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// Questions to one provider that may be under way at once.
const MOST_AT_ONCE: usize = 4;
/// An answer with one value has a few hundred bytes; with many series it is of no use, however long.
const LONGEST_ANSWER: usize = 65_536;
/// How much of a provider's own words is told on.
const LONGEST_WORDS: usize = 200;
const FOREIGN: &str = "the answer is not one of Prometheus' query API; check its address";

/// The providers that were configured where the operator was installed.
pub struct Providers {
    known: BTreeMap<String, Provider>,
}

struct Provider {
    client: Client,
    places: Semaphore,
}

impl Providers {
    /// Providers by name, each with the address below which its API is.
    ///
    /// # Errors
    /// If an address cannot be used.
    pub fn new(addresses: impl IntoIterator<Item = (String, Uri)>) -> kube::Result<Self> {
        let connect = |(name, address)| Ok((name, Provider::new(address)?));
        Ok(Self { known: addresses.into_iter().map(connect).collect::<kube::Result<_>>()? })
    }

    /// Asks for the values of checks, side by side. The answers are in the same order.
    pub async fn ask(&self, checks: &[Check]) -> Vec<CheckAnswer> {
        futures::future::join_all(checks.iter().map(|check| self.answer(check))).await
    }

    async fn answer(&self, check: &Check) -> CheckAnswer {
        let Check { provider, query, .. } = check.clone();
        let Some(known) = self.known.get(&provider) else {
            return CheckAnswer { provider, query, at: clock::now(), found: Err(self.unknown()) };
        };
        // Nobody closes it; and without a place there is no answer, which holds.
        let _place = known.places.acquire().await;
        let at = clock::now();
        let late = || Err(format!("no answer within {} s; see whether it runs and can be reached", DEADLINE.as_secs()));
        let found = timeout(DEADLINE, known.value(&query)).await.unwrap_or_else(|_| late());
        CheckAnswer { provider, query, at, found }
    }

    fn unknown(&self) -> String {
        let names: Vec<&str> = self.known.keys().map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("it is not configured; add it to `providers` of the chart, or name one that is there: {names}")
    }
}

impl Provider {
    fn new(address: Uri) -> kube::Result<Self> {
        let plain = address.scheme_str() == Some("http");
        let mut config = Config::new(address);
        config.default_retry = false;
        config.connect_timeout = Some(DEADLINE);
        // Without TLS nothing has to be trusted, and an image without certificates is good enough.
        config.root_cert = plain.then(Vec::new);
        Ok(Self { client: Client::try_from(config)?, places: Semaphore::new(MOST_AT_ONCE) })
    }

    async fn value(&self, query: &str) -> Result<f64, String> {
        let mut uri = format!("/api/v1/query?timeout={}s&query=", DEADLINE.as_secs());
        escape(query, &mut uri);
        let request = Request::get(uri).header(header::ACCEPT, "application/json").body(Body::empty());
        let request = request.map_err(|error| format!("it cannot be asked: {error}"))?;
        let answer = self.client.send(request).await.map_err(|error| format!("not reached: {}", cause(&error)))?;
        let status = answer.status();
        let body = match Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(format!(
                    "more than {LONGEST_ANSWER} bytes; let the query give one value, as with sum(...)"
                ));
            }
            Err(error) => return Err(format!("the answer broke off: {}", cause(error.as_ref()))),
        };
        match serde_json::from_slice(&body) {
            Ok(Answer { data: Some(data), error: None }) if status.is_success() => data.value(),
            Ok(Answer { error: Some(error), .. }) => Err(format!("it refuses the query: {}", words(&error))),
            _ if status.is_success() => Err(FOREIGN.into()),
            _ => Err(format!("it answers with HTTP status {}", status.as_u16())),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

/// A value and its time, as in `[1700000000.1, "0.5"]`.
type Sample = (f64, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct Series {
    value: Option<Sample>,
}

impl Data {
    /// The one number in it.
    fn value(self) -> Result<f64, String> {
        let sample = match self.result_type.as_str() {
            "scalar" => serde_json::from_value(self.result).map_err(|_| FOREIGN)?,
            "vector" => {
                let mut series: Vec<Series> = serde_json::from_value(self.result).map_err(|_| FOREIGN)?;
                match (series.len(), series.pop().and_then(|one| one.value)) {
                    (0, _) => return Err("no data: no series matches the query now".into()),
                    (1, Some(sample)) => sample,
                    (1, None) => return Err("a histogram; let the query give a number".into()),
                    (many, _) => return Err(format!("{many} series; let the query give one value, as with sum(...)")),
                }
            }
            _ => return Err("ranges or a text; let the query give one value at one time".into()),
        };
        let (_, text): Sample = sample;
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(format!("no data: the value is {}", words(&text))),
        }
    }
}

/// The innermost cause: what a person can do something about.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    words(&innermost.to_string())
}

/// Somebody else's words: no longer than they are worth, and without what a terminal or a log would act on.
fn words(text: &str) -> String {
    let mut told = String::new();
    for character in text.chars().take(LONGEST_WORDS) {
        match character {
            _ if !character.is_control() => told.push(character),
            // Writing to a String cannot fail.
            _ => drop(write!(told, "{}", character.escape_default())),
        }
    }
    told
}
