//! Separates our elements of a record from those of others.
//!
//! Owns the split of a resource into our part and the rest, the merge, and the fingerprint. Pure; it never decides
//! whether to write (`delivery` does). The `Kind` lists our elements; `docs/adapters/fhir.md` has the rules.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::kind::Kind;

/// The fingerprint of our last write: a digest of our elements, and two facts that prevent the next write from losing
/// data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    digest: String,
    /// Whether the record also has elements of others, so that it must be read before it is written.
    pub(crate) shared: bool,
    /// Whether we wrote the elements that are otherwise kept (the death of a patient), so that we may remove them.
    kept_is_ours: bool,
}

impl Fingerprint {
    /// Parses the text in a link; `None` for a form that this version does not know.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (digest, flags) = text.strip_prefix("1:")?.split_once(':')?;
        let known = !digest.is_empty() && flags.chars().all(|flag| matches!(flag, 's' | 'd'));
        known.then(|| Self {
            digest: digest.to_owned(),
            shared: flags.contains('s'),
            kept_is_ours: flags.contains('d'),
        })
    }

    /// The text for a receipt.
    pub(crate) fn to_text(&self) -> String {
        let flag = |set: bool, letter: &'static str| if set { letter } else { "" };
        format!("1:{}:{}{}", self.digest, flag(self.shared, "s"), flag(self.kept_is_ours, "d"))
    }

    /// The same fingerprint, for a record that must be read before each write.
    pub(crate) fn into_shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// The fingerprint of a resource without elements of others.
    pub(crate) fn of_own(resource: &Value, kind: &Kind<'_>) -> Self {
        let ours = split(resource, kind).ours;
        let kept_is_ours = has_kept(kind, &ours);
        Self { digest: digest(kind, &ours, kept_is_ours), shared: false, kept_is_ours }
    }

    /// Whether our elements of this record equal our last write.
    pub(crate) fn matches(&self, current: &Value, kind: &Kind<'_>) -> bool {
        digest(kind, &split(current, kind).ours, self.kept_is_ours) == self.digest
    }
}

/// A link's fingerprint after an operator kept the record's content instead of our state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The digest of our elements that were not written.
    pub(crate) declined: String,
    /// The digest of our elements in the record when it was kept.
    pub(crate) held: String,
}

impl Kept {
    /// The fingerprint for keeping this record instead of the merged one.
    pub(crate) fn of(current: &Value, merged: &Merged, kind: &Kind<'_>) -> Self {
        let of = |resource: &Value| digest(kind, &split(resource, kind).ours, true);
        Self { declined: of(&merged.resource), held: of(current) }
    }

    /// Whether the record still has the content that was kept.
    pub(crate) fn is_held(&self, current: &Value, kind: &Kind<'_>) -> bool {
        digest(kind, &split(current, kind).ours, true) == self.held
    }

    /// Parses the text in a link.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (declined, held) = text.strip_prefix("kept:")?.split_once(':')?;
        Some(Self { declined: declined.to_owned(), held: held.to_owned() })
    }

    /// The text for a link.
    pub(crate) fn to_text(&self) -> String {
        format!("kept:{}:{}", self.declined, self.held)
    }
}

/// A record with our elements merged into it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Merged {
    /// The resource to write.
    pub(crate) resource: Value,
    /// The fingerprint for the receipt, after the write.
    pub(crate) fingerprint: Fingerprint,
    /// Whether the record equals the wanted state already, so that no write is needed.
    pub(crate) unchanged: bool,
}

/// Merges our elements into a record and keeps all others.
///
/// `wanted` is our resource; `None` only marks the record as deleted. `last` is the link's fingerprint, if any.
pub(crate) fn merge(current: &Value, wanted: Option<&Value>, last: Option<&Fingerprint>, kind: &Kind<'_>) -> Merged {
    let parts = split(current, kind);
    let ours = wanted.map_or_else(|| retired(&parts.ours, kind), |wanted| split(wanted, kind).ours);
    put(current, parts, ours, wanted, last, kind)
}

/// Marks a record as replaced by another one, with `link`, and keeps all other elements.
pub(crate) fn replace(current: &Value, link: &Value, last: Option<&Fingerprint>, kind: &Kind<'_>) -> Merged {
    let parts = split(current, kind);
    let mut ours = retired(&parts.ours, kind);
    ours.insert("link".to_owned(), json!([link]));
    put(current, parts, ours, None, last, kind)
}

fn retired(ours: &Map<String, Value>, kind: &Kind<'_>) -> Map<String, Value> {
    let mut ours = ours.clone();
    kind.retire(&mut ours);
    ours
}

/// Replaces our elements of the record.
fn put(
    current: &Value,
    Split { ours: current_ours, mut others }: Split,
    mut ours: Map<String, Value>,
    wanted: Option<&Value>,
    last: Option<&Fingerprint>,
    kind: &Kind<'_>,
) -> Merged {
    let kept_was_ours = last.is_some_and(|last| last.kept_is_ours);
    let kept_is_ours = if wanted.is_some() { has_kept(kind, &ours) } else { kept_was_ours };
    let mut keeps = false;
    if wanted.is_some() && !kept_is_ours && !kept_was_ours {
        for element in kind.parts.kept {
            if let Some(value) = current_ours.get(*element) {
                ours.insert((*element).to_owned(), value.clone());
                keeps = true;
            }
        }
    }
    let unchanged = ours == current_ours && wanted.is_none_or(|wanted| holds_meta(current, wanted));
    let shared = keeps || holds_others(&others, kind);
    let fingerprint = Fingerprint { digest: digest(kind, &ours, kept_is_ours), shared, kept_is_ours };
    tidy(&mut others, kind, &ours, &current_ours, wanted);
    Merged { resource: join(ours, others), fingerprint, unchanged }
}

struct Split {
    ours: Map<String, Value>,
    others: Map<String, Value>,
}

fn split(resource: &Value, kind: &Kind<'_>) -> Split {
    let mut parts = Split { ours: Map::new(), others: Map::new() };
    let Some(object) = resource.as_object() else { return parts };
    for (element, value) in object {
        match (value.as_array(), kind.entries(element)) {
            (Some(entries), Some(is_ours)) => {
                let (ours, others): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|entry| is_ours(kind, entry));
                for (part, entries) in [(&mut parts.ours, ours), (&mut parts.others, others)] {
                    if !entries.is_empty() {
                        part.insert(element.clone(), Value::Array(entries));
                    }
                }
            }
            _ if kind.is_whole(element) => _ = parts.ours.insert(element.clone(), value.clone()),
            _ => _ = parts.others.insert(element.clone(), value.clone()),
        }
    }
    parts
}

fn join(ours: Map<String, Value>, mut others: Map<String, Value>) -> Value {
    for (element, value) in ours {
        match (value, others.get_mut(&element)) {
            (Value::Array(mut first), Some(Value::Array(rest))) => {
                first.append(rest);
                *rest = first;
            }
            (value, _) => _ = others.insert(element, value),
        }
    }
    Value::Object(others)
}

/// Removes elements of others that our change makes invalid, or that the server sets by itself.
fn tidy(
    others: &mut Map<String, Value>,
    kind: &Kind<'_>,
    ours: &Map<String, Value>,
    before: &Map<String, Value>,
    wanted: Option<&Value>,
) {
    // A generated narrative describes the old state; the server generates a new one.
    if others.get("text").and_then(|text| text.get("status")).and_then(Value::as_str) == Some("generated") {
        others.remove("text");
    }
    // A primitive's extensions (a time of birth) belong to the old value.
    let is_stale = |element: &str| kind.is_whole(element) && ours.get(element) != before.get(element);
    others.retain(|name, _| !name.strip_prefix('_').is_some_and(is_stale));
    // The same language must not appear twice, once as ours and once as another author's.
    let languages: Vec<Value> = list(ours, "communication").iter().map(language).collect();
    if let Some(Value::Array(theirs)) = others.get_mut("communication") {
        theirs.retain(|entry| !languages.contains(&language(entry)));
        if theirs.is_empty() {
            others.remove("communication");
        }
    }
    if let Some(meta) = others.get_mut("meta").and_then(Value::as_object_mut) {
        meta.remove("versionId");
        meta.remove("lastUpdated");
    }
    let Some(wanted) = wanted else { return };
    for (list, entry) in META.iter().flat_map(|list| meta_list(wanted, list).iter().map(move |entry| (list, entry))) {
        let meta = others.entry("meta").or_insert_with(|| json!({}));
        match meta.get_mut(*list) {
            Some(Value::Array(known)) if known.contains(entry) => {}
            Some(Value::Array(known)) => known.push(entry.clone()),
            _ => meta[*list] = json!([entry]),
        }
    }
    // The narrative of a resource that is passed through.
    if let Some(text) = wanted.get("text") {
        others.insert("text".to_owned(), text.clone());
    }
}

fn language(communication: &Value) -> Value {
    communication.pointer("/language/coding/0/code").cloned().unwrap_or_default()
}

fn list<'a>(object: &'a Map<String, Value>, element: &str) -> &'a [Value] {
    object.get(element).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The lists in `meta` that a resource may contain: entries of others are kept, and ours are added.
const META: [&str; 3] = ["profile", "tag", "security"];

fn meta_list<'a>(resource: &'a Value, list: &str) -> &'a [Value] {
    resource.get("meta").and_then(|meta| meta.get(list)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn holds_meta(current: &Value, wanted: &Value) -> bool {
    META.iter().all(|list| meta_list(wanted, list).iter().all(|entry| meta_list(current, list).contains(entry)))
}

fn has_kept(kind: &Kind<'_>, ours: &Map<String, Value>) -> bool {
    kind.parts.kept.iter().any(|element| ours.contains_key(*element))
}

/// Whether writing our resource alone would lose elements of others.
fn holds_others(others: &Map<String, Value>, kind: &Kind<'_>) -> bool {
    others.iter().any(|(element, value)| match element.as_str() {
        "resourceType" | "id" => false,
        "text" => value.get("status").and_then(Value::as_str) != Some("generated"),
        "meta" => {
            value.get("tag").is_some()
                || value.get("security").is_some()
                || value
                    .get("profile")
                    .and_then(Value::as_array)
                    .is_some_and(|profiles| profiles.iter().any(|profile| profile.as_str() != kind.profile()))
        }
        _ => true,
    })
}

/// A digest that does not depend on the order of keys in an object.
fn digest(kind: &Kind<'_>, ours: &Map<String, Value>, with_kept: bool) -> String {
    let mut ours = ours.clone();
    if !with_kept {
        for element in kind.parts.kept {
            ours.remove(*element);
        }
    }
    let mut canonical = String::new();
    write_canonical(&Value::Object(ours), &mut canonical);
    // Half of SHA-256 is enough to distinguish states of one record, and keeps the link short.
    let whole = Sha256::digest(canonical.as_bytes());
    let half: [u8; 16] = whole[..16].try_into().expect("invariant: SHA-256 has 32 bytes");
    format!("{:032x}", u128::from_be_bytes(half))
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            out.push('{');
            for key in keys {
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_canonical(&object[key], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(entries) => {
            out.push('[');
            for entry in entries {
                write_canonical(entry, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests;
