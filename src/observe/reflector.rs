//! One kind, kept up to date: list it, then watch it, and again whenever that is needed.
//!
//! A task of its own for each kind, so that one that fails cannot starve another. It ends only with the process. It
//! knows three things that a library would hide from us: when the kind was last heard, that the past is gone (410), and
//! that a watch which says nothing is a dead one. This module must not know what objects mean.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt};
use kube::Client;
use tokio::time::{sleep, timeout};

use super::kind::{Kind, Scope};
use super::sight::Sight;
use super::slim::Sighting;
use super::stores::{Listing, Stores};
use super::wire::{self, Bookmark, Line, Page, Status};
use super::world::Moment;
use crate::clock;

/// The longest a page of a list, or the opening of a watch, may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// A watch that says nothing for so long is dead: the API server should have ended it by then.
const IDLE: Duration = Duration::from_secs(wire::WATCH_SECONDS + 5);
/// A watch that stood for so long worked, even if nothing happened.
const PROVEN: Duration = Duration::from_secs(wire::WATCH_SECONDS / 2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After so many refusals in a row the place to go on from may be what is wrong: begin with a list.
const REFUSALS: u32 = 3;
/// How often it is asked whether the API server knows a kind by now that it did not know.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(15);
/// A line buffer that grew beyond this is given back.
const LARGEST_IDLE_BUFFER: usize = 64 * 1024;

/// Why a list or a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The API server ended it, as it does from time to time.
    Over,
    /// The past that was asked for is gone.
    Expired,
    /// The API server does not know the kind.
    Unknown,
    /// The API server answered with an error.
    Refused,
    /// No answer, or none that makes sense.
    Broken(&'static str),
}

impl End {
    fn trouble(self) -> &'static str {
        match self {
            Self::Over => "the API server ends every watch at once",
            Self::Expired => "its history was lost, it is listed anew",
            Self::Unknown => "the API server does not know them",
            Self::Refused => "the API server refuses to show them",
            Self::Broken(why) => why,
        }
    }

    fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 410 => Self::Expired,
            kube::Error::Api(_) => Self::Refused,
            _ => Self::Broken("no connection to the API server"),
        }
    }
}

/// Keeps one kind up to date.
pub(super) struct Reflector {
    pub client: Client,
    pub kind: Kind,
    pub scope: Scope,
    pub stores: Arc<Stores>,
    pub sight: Arc<Sight>,
    /// Its place in `sight`.
    pub index: usize,
    /// The newest version that was heard of.
    pub newest: u64,
}

impl Reflector {
    /// Does not end.
    pub(super) async fn run(mut self) {
        let mut listed = false;
        let mut failures: u32 = 0;
        loop {
            let (end, proven) = match listed {
                true => self.watch().await,
                false => match self.list().await {
                    Ok(()) => {
                        listed = true;
                        continue;
                    }
                    Err(end) => (end, false),
                },
            };
            if end == End::Unknown {
                (listed, failures) = (false, 0);
                self.unknown();
                sleep(UNKNOWN_PAUSE).await;
                continue;
            }
            failures = if proven { 0 } else { failures.saturating_add(1) };
            let lost_place = end == End::Expired || (end == End::Refused && failures >= REFUSALS);
            listed &= !lost_place;
            // A watch that worked and ended is opened again at once; only if that fails are we out of touch.
            if !proven || lost_place {
                self.lost(end);
            }
            if failures > 0 {
                sleep(pause(failures, random())).await;
            }
        }
    }

    /// Asks for everything, page by page, and replaces what was known by it.
    async fn list(&mut self) -> Result<(), End> {
        let (mut sightings, mut token) = (vec![], None);
        let version = loop {
            let request = self.request(wire::list(self.kind, &self.scope, token.as_deref()))?;
            let answer = timeout(DEADLINE, self.client.request_text(request)).await;
            let text = answer.map_err(|_| End::Broken("no answer in time"))?.map_err(|error| self.failed(&error))?;
            let page: Page = serde_json::from_str(&text).map_err(|error| self.senseless(&error))?;
            sightings.extend(page.items().map(|item| self.read(item)));
            let version = page.version().ok_or(End::Broken("its resourceVersion is not a number"))?;
            token = page.next();
            if token.is_none() {
                break version;
            }
        };
        // Versions that run backwards are another history: the cluster was restored from a backup.
        let moment = if version < self.newest { Moment::Beginning } else { Moment::Version(version) };
        self.newest = version;
        self.stores.swap(self.kind, &self.scope, Listing { sightings, moment });
        if self.sight.listed(self.index, clock::monotonic()) {
            tracing::info!(kind = %self.kind, scope = %self.scope, "the cluster knows this kind by now");
            self.stores.touch_all(&self.scope);
        }
        Ok(())
    }

    /// Watches from where we are until it ends. Tells how it ended, and whether it worked until then.
    async fn watch(&mut self) -> (End, bool) {
        let request = match self.request(wire::watch(self.kind, &self.scope, self.newest)) {
            Ok(request) => request,
            Err(end) => return (end, false),
        };
        let begun = clock::monotonic();
        let lines = match timeout(DEADLINE, self.client.request_stream(request)).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => return (self.failed(&error), false),
            Err(_) => return (End::Broken("no answer in time"), false),
        };
        self.heard();
        let (end, productive) = self.follow(pin!(lines)).await;
        (end, productive || clock::monotonic().saturating_duration_since(begun) >= PROVEN)
    }

    /// Takes in line after line. Tells how it ended, and whether anything was heard. An event that was cut off is told
    /// again by the next watch.
    async fn follow(&mut self, mut lines: impl AsyncBufRead + Unpin) -> (End, bool) {
        let (mut line, mut productive) = (vec![], false);
        loop {
            line.clear();
            line.shrink_to(LARGEST_IDLE_BUFFER);
            match timeout(IDLE, lines.read_until(b'\n', &mut line)).await {
                Ok(Ok(0)) => return (End::Over, productive),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return (self.cut(&error), productive),
                Err(_) => return (End::Broken("the watch fell silent"), productive),
            }
            if !line.ends_with(b"\n") {
                return (End::Broken("the watch was cut"), productive);
            }
            if let Err(end) = self.take_in(&line) {
                return (end, productive);
            }
            productive = true;
            self.heard();
        }
    }

    /// Takes in one event.
    fn take_in(&mut self, line: &[u8]) -> Result<(), End> {
        // What cannot be placed may have been a change: only a list tells what is so.
        let Line { type_, object } = serde_json::from_slice(line).map_err(|_| End::Expired)?;
        match type_.as_ref() {
            "BOOKMARK" => {
                let bookmark: Bookmark = serde_json::from_str(object.get()).map_err(|_| End::Expired)?;
                self.newest = bookmark.version().ok_or(End::Expired)?.max(self.newest);
            }
            "ERROR" => {
                let status: Option<Status> = serde_json::from_str(object.get()).ok();
                let (code, reason) = status.map(|status| (status.code, status.reason)).unwrap_or_default();
                tracing::debug!(kind = %self.kind, scope = %self.scope, code, reason, "the watch ended with an error");
                return Err(if code == Some(410) { End::Expired } else { End::Refused });
            }
            type_ => {
                let sighting = self.read(object.get());
                let version = sighting.identity.version;
                if sighting.identity.name.is_empty() || version == 0 {
                    return Err(End::Expired);
                }
                self.newest = version.max(self.newest);
                match type_ {
                    "DELETED" => self.stores.remove(self.kind, &sighting.identity),
                    _ => self.stores.put(self.kind, sighting),
                };
            }
        }
        Ok(())
    }

    fn read(&self, raw: &str) -> Sighting {
        let mut sighting = self.stores.read(self.kind, raw);
        if let (true, Scope::Namespace(namespace)) = (sighting.identity.namespace.is_empty(), &self.scope) {
            sighting.identity.namespace.clone_from(namespace);
        }
        sighting
    }

    fn heard(&self) {
        if self.sight.heard(self.index, clock::monotonic()) {
            tracing::info!(kind = %self.kind, scope = %self.scope, "watching");
            self.stores.touch_all(&self.scope);
        }
    }

    /// What was known of it is gone with its definition, which may come back.
    fn unknown(&self) {
        let moment = Moment::Version(self.newest);
        self.stores.swap(self.kind, &self.scope, Listing { sightings: vec![], moment });
        if self.sight.unknown(self.index) {
            tracing::info!(kind = %self.kind, scope = %self.scope, "the cluster does not know this kind; it need not");
            self.stores.touch_all(&self.scope);
        }
    }

    fn lost(&self, end: End) {
        let why = end.trouble();
        if self.sight.lost(self.index, why) {
            tracing::warn!(kind = %self.kind, scope = %self.scope, why, "out of sight; nothing is begun meanwhile");
            self.stores.touch_all(&self.scope);
        }
    }

    fn request<T>(&self, request: Result<T, http::Error>) -> Result<T, End> {
        request.map_err(|error| {
            tracing::error!(kind = %self.kind, scope = %self.scope, %error, "the request is not one");
            End::Broken("the namespace is not a name")
        })
    }

    fn failed(&self, error: &kube::Error) -> End {
        tracing::debug!(kind = %self.kind, scope = %self.scope, %error, "the API server could not be asked");
        match error {
            kube::Error::Api(status) if status.code == 404 && self.kind.may_be_unknown() => End::Unknown,
            error => End::of(error),
        }
    }

    fn senseless(&self, error: &serde_json::Error) -> End {
        tracing::debug!(kind = %self.kind, scope = %self.scope, %error, "the list makes no sense");
        End::Broken("the API server's answer makes no sense")
    }

    fn cut(&self, error: &io::Error) -> End {
        tracing::debug!(kind = %self.kind, scope = %self.scope, %error, "the watch was cut");
        End::Broken("the watch was cut")
    }
}

/// The pause after so many failures in a row: doubled each time, and somewhere in the upper half of that, so that not
/// all come back at once.
fn pause(failures: u32, random: u32) -> Duration {
    let doubled = SHORTEST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let most = doubled.min(LONGEST_PAUSE);
    most / 2 + most.mul_f64(f64::from(random) / f64::from(u32::MAX)) / 2
}

/// Without a source of randomness pauses are merely not spread.
fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_spread() {
        let most = |failures| pause(failures, u32::MAX).as_millis();
        assert_eq!([1, 2, 3, 8, 99, u32::MAX].map(most), [50, 100, 200, 5000, 5000, 5000]);
        assert_eq!(pause(3, 0).as_millis(), 100);
    }
}
