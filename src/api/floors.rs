//! Floors: what of an image may never run again, whatever was stable once; and exceptions from that, which end.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most images that have a floor.
pub const MOST_FLOORS: usize = 32;
/// The most exceptions.
pub const MOST_EXCEPTIONS: usize = 16;

/// Below what no rollback goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Floors {
    /// Images with a floor, at most 32, each image once or more often. Default: none.
    /// Example: `[{image: registry.example/shop/checkout, minimum: "1.4.2", because: CVE-2026-1234}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub images: Vec<ImageFloor>,
    /// Who lets what pass, why, and until when, at most 16. After `until` an exception counts for nothing; it may stay.
    /// Default: none. Example: `[{image: registry.example/shop/checkout, version: "1.4.1", by: security on call,
    /// because: "1.4.2 loses orders", until: "2026-03-01T00:00:00Z"}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub exceptions: Vec<FloorException>,
}

impl Floors {
    /// Nothing is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.exceptions.is_empty()
    }
}

/// The floor of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.minimum) || (has(self.deny) && size(self.deny) > 0)").message("a floor needs a limit: set minimum to the lowest version that may run, deny to versions that may not, or both"))]
pub struct ImageFloor {
    /// The image without tag and digest, as templates name it. Required. Example: `registry.example/shop/checkout`.
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$")
    )]
    pub image: String,
    /// The lowest version that may run: numbers with dots, compared number by number with the tag. A tag that is no
    /// version, or a digest alone, cannot be compared, and is refused. Default: none; `minimum`, `deny` or both must be
    /// given. Example: `"1.4.2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^v?[0-9]{1,9}(\.[0-9]{1,9}){0,3}$"))]
    pub minimum: Option<String>,
    /// Tags and digests that may not run, at most 32. Default: none. Example: `["1.5.0", "sha256:9f86…"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    pub deny: Vec<String>,
    /// Why, for who meets the refusal. Default: empty. Example: `CVE-2026-1234`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub because: String,
}

/// An exception from a floor. A rollback that passes by it says so in its Recovery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FloorException {
    /// The image without tag and digest. Required. Example: `registry.example/shop/checkout`.
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$")
    )]
    pub image: String,
    /// The one tag or digest that may run. Required. Example: `"1.4.1"`.
    #[schemars(length(min = 1, max = 128))]
    pub version: String,
    /// Who answers for it. Required. Example: `security on call`.
    #[schemars(length(min = 1, max = 128))]
    pub by: String,
    /// Why. Required. Example: `"1.4.2 loses orders"`.
    #[schemars(length(min = 1, max = 256))]
    pub because: String,
    /// Until when. Required. Example: `"2026-03-01T00:00:00Z"`.
    pub until: Time,
}
