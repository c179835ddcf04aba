//! Secrets: a keyed digest, and how long a certificate counts. Nothing else of what they hold is kept, and no error quotes
//! it.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde_json::Value;
use x509_parser::pem::Pem;

use super::field_owner::last_written;
use super::git_ops::git_ops;
use super::member::{Member, Tie, object};
use super::{Identity, Parts, SecretDigest};
use crate::api::mark;
use crate::plan::facts::Certificate;
use crate::plan::member::MemberKind;
use crate::plan::posture::Posture;
use crate::plan::{content, secrets};

/// One that is never looked at has an empty digest: it is not taken for one that does not exist.
pub(super) fn secret(
    parts: &Parts<'_>,
    identity: &Identity,
    digest: &SecretDigest,
) -> Result<Member, serde_json::Error> {
    let type_ = parts.type_.as_deref().unwrap_or_default();
    let nothing = Tie::Keeps { sealed_copy: None, certificate: None, written: None };
    let posture = Posture::default();
    let never = Member { kind: MemberKind::Secret, digest: "".into(), size: 0, tie: nothing, posture, git_ops: None };
    if !secrets::looked_at(type_) {
        return Ok(never);
    }
    let object = object(parts)?;
    let content = content::canonical(&content::of(MemberKind::Secret, &object));
    let Some(digest) = digest(&identity.namespace, &identity.name, &content) else { return Ok(never) };
    let sealed_copy = parts.metadata.label(mark::COPY_OF).map(|_| parts.immutable == Some(true));
    let certificate = (type_ == secrets::TLS).then(|| certificate(object.pointer("/data/tls.crt")));
    let tie = Tie::Keeps { sealed_copy, certificate, written: last_written(parts.metadata.managed_fields) };
    let git_ops = git_ops(&parts.metadata);
    let posture = Posture::default();
    Ok(Member { kind: MemberKind::Secret, digest: digest.into(), size: content.len(), tie, posture, git_ops })
}

/// The first certificate of a chain: that of the server itself.
fn certificate(chain: Option<&Value>) -> Certificate {
    read(chain).unwrap_or(Certificate::Unreadable)
}

fn read(chain: Option<&Value>) -> Option<Certificate> {
    let chain: ByteString = serde_json::from_value(chain?.clone()).ok()?;
    let first = Pem::iter_from_buffer(&chain.0).next()?.ok().filter(|pem| pem.label == "CERTIFICATE")?;
    let validity = first.parse_x509().ok()?.validity().clone();
    // The last moment of all stands for "for ever", which is later than times can be here.
    let moment = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let (from, until) = (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()));
    Some(Certificate::Valid { from, until })
}
