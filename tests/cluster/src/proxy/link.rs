//! The state of the connection between an operator and the API server, and the streams that obey it.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use kube::client::Body;
use tokio::sync::watch;

/// How a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Connections are broken off and new ones closed at once: the API server has gone.
    Refuse,
    /// Connections stay open and nothing comes any more, nor does a request get through: the network has gone.
    Silence,
}

/// Counts, not flags: a cut that is over before a stream looks must not be missed.
#[derive(Clone, Copy, Default)]
struct State {
    now: Option<Cut>,
    refusals: u64,
    silences: u64,
}

pub(super) struct Link {
    state: watch::Sender<State>,
}

impl Default for Link {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::default()) }
    }
}

impl Link {
    pub(super) fn cut(&self, cut: Cut) {
        self.state.send_modify(|state| {
            state.now = Some(cut);
            match cut {
                Cut::Refuse => state.refusals += 1,
                Cut::Silence => state.silences += 1,
            }
        });
    }

    pub(super) fn restore(&self) {
        self.state.send_modify(|state| state.now = None);
    }

    /// Ends when connections are refused, now or after now.
    pub(super) fn refused(&self) -> impl Future<Output = ()> + Send + 'static {
        self.until(|then, state| state.now == Some(Cut::Refuse) || state.refusals > then.refusals)
    }

    /// Ends when connections are silent, now or after now.
    pub(super) fn silenced(&self) -> impl Future<Output = ()> + Send + 'static {
        self.until(|then, state| state.now == Some(Cut::Silence) || state.silences > then.silences)
    }

    fn until(&self, met: fn(&State, &State) -> bool) -> impl Future<Output = ()> + Send + 'static {
        let mut state = self.state.subscribe();
        let then = *state.borrow();
        async move {
            // An error means that the proxy is gone, and this task with it.
            if state.wait_for(|state| met(&then, state)).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The body of an answer on its way to the caller, for watches an endless one.
pub(super) struct Relay {
    body: Body,
    silenced: Pin<Box<dyn Future<Output = ()> + Send>>,
    silent: bool,
}

impl Relay {
    pub(super) fn new(body: Body, silenced: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { body, silenced: Box::pin(silenced), silent: false }
    }
}

impl HttpBody for Relay {
    type Data = Bytes;
    type Error = kube::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, kube::Error>>> {
        if !self.silent && self.silenced.as_mut().poll(context).is_ready() {
            self.silent = true;
        }
        if self.silent {
            // Never woken again: only the end of the connection ends this.
            return Poll::Pending;
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        !self.silent && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
