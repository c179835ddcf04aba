//! The seal of stable states: who wrote a record, in which cluster, namespace and under which name; and the digests of
//! Secrets, which need the same key because from a plain one a short password could be guessed.
//!
//! The key lies in one Secret that the chart creates empty and keeps, and that is filled once. This module must not
//! decide what becomes of a state whose seal is not ours, and never logs or formats the key.
//!
//! Rights: secrets `get`, `patch`, for that one name.

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use k8s_openapi::ByteString;
use kube::Client;
use serde_json::{Value, json};
use sha2::Sha256;

use super::address::{Address, Kind};
use super::live::Live;
use super::{DEADLINE, Error, call};
use crate::api::StableState;
use crate::api::stable_state::{Record, Seal};
use crate::plan::content;

const KEY_LENGTH: usize = 32;

/// What the key for the digests of Secrets is derived by. No record is sealed with it: those are JSON.
const FOR_SECRETS: &[u8] = b"homeostat digests of Secrets, 1";

/// Seals records and tells whether a seal is ours.
#[derive(Clone)]
pub struct Sealer {
    keyed: Hmac<Sha256>,
    key_id: String,
    secrets: Hmac<Sha256>,
    /// Namespace and name of the Secret with the key.
    home: Option<(String, String)>,
}

impl Sealer {
    /// A sealer with a given key of 32 bytes, known under `key_id`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the key has another length.
    pub fn new(key: &[u8], key_id: &str) -> Result<Self, Error> {
        if key.len() != KEY_LENGTH {
            return Err(Error::Invalid(format!("the key for seals has {} bytes instead of {KEY_LENGTH}", key.len())));
        }
        let keyed = |key: &[u8]| {
            Hmac::<Sha256>::new_from_slice(key).map_err(|error| Error::Invalid(format!("the key for seals: {error}")))
        };
        let for_secrets = keyed(key)?.chain_update(FOR_SECRETS).finalize().into_bytes();
        Ok(Self { keyed: keyed(key)?, key_id: key_id.to_owned(), secrets: keyed(&for_secrets)?, home: None })
    }

    /// Reads the key from its Secret, and writes nothing. `None` if the Secret is still empty.
    ///
    /// # Errors
    /// If the Secret is missing, holds something that is not a key, or cannot be read.
    pub async fn read(client: &Client, namespace: &str, secret_name: &str) -> Result<Option<Self>, Error> {
        let address = Address::new(Kind::SECRET, namespace, secret_name);
        of_secret(&read(client, address).await?, address)
    }

    /// Reads the key from its Secret, and fills it first if it is still empty. Needs no permit: the one write is
    /// guarded by the version of the empty Secret, so of several processes only the first has its way.
    ///
    /// # Errors
    /// If the Secret is missing, holds something that is not a key, or cannot be read or filled.
    pub async fn load(client: &Client, namespace: &str, secret_name: &str) -> Result<Self, Error> {
        let address = Address::new(Kind::SECRET, namespace, secret_name);
        let secret = read(client, address).await?;
        // Filled before: the usual case.
        if let Some(sealer) = of_secret(&secret, address)? {
            return Ok(sealer);
        }
        match fill(client, address, &secret).await {
            // Somebody else filled it, or it changed otherwise: what counts is what is there now.
            Ok(_) | Err(Error::Conflict | Error::Moved(_) | Error::Timeout(_)) => {}
            Err(error) => return Err(error),
        }
        let secret = read(client, address).await?;
        of_secret(&secret, address)?
            .ok_or_else(|| Error::Transient(format!("{address} is still empty after it was filled")))
    }

    /// The digest of a Secret's content, as canonical JSON. It says nothing to whoever does not have the key, and nothing
    /// about Secrets of other namespaces. `None` for the Secret with the key itself, which is never looked at.
    #[must_use]
    pub fn secret_digest(&self, namespace: &str, name: &str, content: &str) -> Option<String> {
        let home = |(of, named): &(String, String)| of == namespace && named == name;
        let message = content::canonical(&json!([namespace, content]));
        let digest = || content::hex(&self.secrets.clone().chain_update(message.as_bytes()).finalize().into_bytes());
        (!self.home.as_ref().is_some_and(home)).then(digest)
    }

    /// The seal of a record in its place.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the record cannot be written as JSON.
    pub fn seal(&self, namespace: &str, name: &str, record: &Record) -> Result<Seal, Error> {
        let message = message(namespace, name, &self.key_id, record)
            .ok_or_else(|| Error::Invalid(format!("the record of StableState {name} cannot be written as JSON")))?;
        let mac = self.keyed.clone().chain_update(message.as_bytes()).finalize().into_bytes();
        Ok(Seal { key_id: self.key_id.clone(), mac: content::hex(&mac) })
    }

    /// Whether this state is exactly what we sealed, where and under the name we sealed it.
    #[must_use]
    pub fn verify(&self, state: &StableState) -> bool {
        let (Some(namespace), Some(name)) = (&state.metadata.namespace, &state.metadata.name) else { return false };
        let seal = &state.spec.seal;
        let Some(message) = message(namespace, name, &self.key_id, &state.spec.record) else { return false };
        let Some(mac) = bytes(&seal.mac) else { return false };
        seal.key_id == self.key_id && self.keyed.clone().chain_update(message.as_bytes()).verify_slice(&mac).is_ok()
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What is sealed. Place and key are part of it, so that a state that was moved or copied is worthless.
fn message(namespace: &str, name: &str, key_id: &str, record: &Record) -> Option<String> {
    let record = serde_json::to_value(record).ok()?;
    Some(content::canonical(&json!({"record": record, "namespace": namespace, "name": name, "keyId": key_id})))
}

async fn read(client: &Client, address: Address<'_>) -> Result<Live, Error> {
    let request = call::request(Method::GET, &address.path()?, "application/json", None)?;
    match call::send(client, request, DEADLINE).await {
        Ok(secret) => Ok(Live::new(secret)),
        Err(Error::Gone) => Err(Error::Invalid(format!(
            "{address}, which keeps the key for seals, does not exist; the chart creates it: install it again"
        ))),
        Err(error) => Err(error),
    }
}

/// The sealer of a filled Secret; `None` if it is still empty. A wrong key is never replaced: it may be a damaged one
/// whose loss would make every state worthless.
fn of_secret(secret: &Live, address: Address<'_>) -> Result<Option<Sealer>, Error> {
    let Some(key) = super::live::at(secret.object(), &["data", "key"]).filter(|key| !key.is_null() && **key != "")
    else {
        return Ok(None);
    };
    let broken = |why: &str| Error::Invalid(format!("{address} does not hold a key: {why}; restore it from a backup"));
    let key: ByteString = serde_json::from_value(key.clone()).map_err(|_| broken("it is not base64"))?;
    let sealer = Sealer::new(&key.0, secret.uid()).map_err(|error| broken(&error.to_string()))?;
    Ok(Some(Sealer { home: Some((address.namespace.to_owned(), address.name.to_owned())), ..sealer }))
}

async fn fill(client: &Client, address: Address<'_>, secret: &Live) -> Result<Value, Error> {
    let mut key = [0_u8; KEY_LENGTH];
    getrandom::fill(&mut key).map_err(|error| Error::Transient(format!("no random bytes for a key: {error}")))?;
    let mut edit = super::live::Edit::of(secret);
    edit.set(&["data", "key"], json!(ByteString(key.to_vec())));
    let request = call::patch_request(&address.path()?, &json!(edit.operations()))?;
    call::send(client, request, DEADLINE).await
}

/// The bytes of lower-case hexadecimal.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
