//! The same stores from a folder of files instead of a cluster: single objects, lists, and files of several documents,
//! as `kubectl get … -o yaml` and `-o json` write them.
//!
//! For looking at what happened elsewhere. Nothing is ever blind here, because there is nothing to hear.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use super::kind::Kind;
use super::stores::Stores;

/// Why a folder cannot be used. Names the file.
#[derive(Debug, Error)]
pub enum FolderError {
    /// A file or folder cannot be opened.
    #[error("failed to read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// A file is neither YAML nor JSON.
    #[error("{} is not what its name says: {message}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// Reads every `.yaml`, `.yml` and `.json` file of a folder into `stores`, in the order of their names. Returns how
/// many objects of observed kinds were found.
///
/// # Errors
/// If the folder or a file cannot be read. A single object that cannot be read is malformed, as in a cluster.
pub fn read_folder(folder: &Path, stores: &Stores) -> Result<usize, FolderError> {
    Ok(objects(folder)?.iter().map(|object| absorb(object, stores)).sum())
}

/// The objects of a folder as they are, those of lists one by one.
///
/// # Errors
/// If the folder or a file cannot be read.
pub fn objects(folder: &Path) -> Result<Vec<Value>, FolderError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error| FolderError::Unreadable { path, error }
    };
    let entries = fs::read_dir(folder).map_err(unreadable(folder))?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(unreadable(folder))?;
    paths.sort();
    let mut found = vec![];
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !matches!(extension, "json" | "yaml" | "yml") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
        let documents = documents(&text, extension == "json");
        let documents = documents.map_err(|message| FolderError::Malformed { path: path.clone(), message })?;
        documents.iter().for_each(|document| unpack(document, &mut found));
    }
    Ok(found)
}

/// The documents of a file.
fn documents(text: &str, json: bool) -> Result<Vec<Value>, String> {
    if json {
        let stream = serde_json::Deserializer::from_str(text).into_iter();
        return stream.collect::<Result<_, _>>().map_err(|error| error.to_string());
    }
    // A person hands us their own files: there is no reason to limit their size.
    let options = serde_saphyr::options! { budget: None };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

/// An object, or each object of a list.
fn unpack(document: &Value, found: &mut Vec<Value>) {
    let items = document.get("items").and_then(Value::as_array);
    let list = document.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match items.filter(|_| list) {
        // The items of `kubectl get` name their kind; those of the API server itself do not.
        Some(items) => items.iter().for_each(|item| unpack(&named(item, document), found)),
        None => found.push(document.clone()),
    }
}

/// Takes in an object. Returns how many of observed kinds that were. Nobody's folder has the key without which no Secret
/// can be compared.
fn absorb(object: &Value, stores: &Stores) -> usize {
    Kind::of_object(object).filter(|kind| *kind != Kind::Secret).map_or(0, |kind| {
        stores.absorb(kind, &object.to_string());
        1
    })
}

/// An item of a typed list, with the kind that the list says it is of.
fn named(item: &Value, list: &Value) -> Value {
    let mut item = item.clone();
    let kind = list.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List"));
    if let (Some(object), Some(kind)) = (item.as_object_mut(), kind.filter(|kind| !kind.is_empty())) {
        object.entry("kind").or_insert_with(|| kind.into());
        let version = list.get("apiVersion").cloned().unwrap_or_default();
        object.entry("apiVersion").or_insert(version);
    }
    item
}
