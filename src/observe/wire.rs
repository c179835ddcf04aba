//! What goes over the wire: requests for lists and watches, and the frames of their answers.
//!
//! Objects stay raw here, so that each can be read on its own.

use std::borrow::Cow;
use std::fmt::Write;

use http::{Request, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::kind::{Kind, Scope};

/// How long the API server keeps a watch open, in seconds.
pub(super) const WATCH_SECONDS: u64 = 30;

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    metadata: PageMetadata,
    /// The API server writes `null` for none.
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_: Option<String>,
}

impl Page<'_> {
    /// The moment of the list; `None` if it is not one that can be compared.
    pub(super) fn version(&self) -> Option<u64> {
        self.metadata.resource_version.parse().ok()
    }

    /// By what the next page is asked for; `None` if this is the last one.
    pub(super) fn next(&self) -> Option<String> {
        self.metadata.continue_.clone().filter(|token| !token.is_empty())
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &str> {
        self.items.iter().flatten().map(|item| item.get())
    }
}

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(rename = "type", borrow)]
    pub type_: Cow<'a, str>,
    #[serde(borrow)]
    pub object: &'a RawValue,
}

/// The object of a bookmark.
#[derive(Deserialize)]
pub(super) struct Bookmark {
    metadata: PageMetadata,
}

impl Bookmark {
    pub(super) fn version(&self) -> Option<u64> {
        self.metadata.resource_version.parse().ok()
    }
}

/// The object of an error.
#[derive(Deserialize)]
pub(super) struct Status {
    pub code: Option<u16>,
    pub reason: Option<String>,
}

/// Asks for a page. Without a resourceVersion the answer is the newest there is.
pub(super) fn list(kind: Kind, scope: &Scope, token: Option<&str>) -> Result<Request<Vec<u8>>, http::Error> {
    let mut uri = format!("{}?limit={}{}", scope.path(kind), kind.page(), scope.selector(kind));
    if let Some(token) = token {
        uri.push_str("&continue=");
        escape(token, &mut uri);
    }
    get(&uri)
}

/// Asks for everything after `from`.
pub(super) fn watch(kind: Kind, scope: &Scope, from: u64) -> Result<Request<Vec<u8>>, http::Error> {
    let (path, selector) = (scope.path(kind), scope.selector(kind));
    get(&format!(
        "{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={from}{selector}"
    ))
}

fn get(uri: &str) -> Result<Request<Vec<u8>>, http::Error> {
    Request::get(uri).header(header::ACCEPT, "application/json").body(vec![])
}

/// Appends text as the value of a query parameter.
pub(super) fn escape(text: &str, uri: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_escaped() {
        let request = list(Kind::Pod, &Scope::All, Some("a+b/c=")).unwrap();
        assert_eq!(request.uri(), "/api/v1/pods?limit=500&continue=a%2Bb%2Fc%3D");
    }

    #[test]
    fn no_items_may_be_null() {
        let page: Page = serde_json::from_str(r#"{"metadata":{"resourceVersion":"7"},"items":null}"#).unwrap();
        assert_eq!((page.version(), page.next(), page.items().count()), (Some(7), None, 0));
    }
}
