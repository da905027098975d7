//! Label and field selectors.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{Expression, Selector, SelectorExt as _};
use serde_json::Value;

use super::failure::Failure;

/// What a list or a watch asks for.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    labels: Selector,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    pointer: &'static str,
    value: String,
    equal: bool,
}

impl Selection {
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, Failure> {
        Ok(Self {
            labels: requirements(labels)
                .map(expression)
                .collect::<Result<Selector, _>>()?,
            fields: requirements(fields)
                .map(field)
                .collect::<Result<Vec<_>, _>>()?,
        })
    }

    /// Nothing is left out.
    pub(super) fn is_all(&self) -> bool {
        self.labels.selects_all() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels: BTreeMap<String, String> = object["metadata"]["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        self.labels.matches(&labels) && self.fields.iter().all(|field| field.matches(object))
    }
}

impl Field {
    fn matches(&self, object: &Value) -> bool {
        let found = object.pointer(self.pointer).and_then(Value::as_str);
        (found.unwrap_or_default() == self.value) == self.equal
    }
}

/// The comma-separated parts, where a comma inside brackets separates values, not parts.
fn requirements(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

fn expression(text: &str) -> Result<Expression, Failure> {
    if let Some((key, values)) = text.split_once(" notin ") {
        return Ok(Expression::NotIn(key.trim().into(), set(values)?));
    }
    if let Some((key, values)) = text.split_once(" in ") {
        return Ok(Expression::In(key.trim().into(), set(values)?));
    }
    Ok(match comparison(text) {
        Some((key, value, true)) => Expression::Equal(key.into(), value.into()),
        Some((key, value, false)) => Expression::NotEqual(key.into(), value.into()),
        None => match text.strip_prefix('!') {
            Some(key) => Expression::DoesNotExist(key.trim().into()),
            None => Expression::Exists(text.into()),
        },
    })
}

fn set(text: &str) -> Result<BTreeSet<String>, Failure> {
    let inner = text
        .trim()
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .ok_or_else(|| Failure::bad_request("unable to parse requirement: expected '('"))?;
    Ok(inner.split(',').map(|v| v.trim().to_owned()).collect())
}

fn field(text: &str) -> Result<Field, Failure> {
    let (name, value, equal) =
        comparison(text).ok_or_else(|| Failure::bad_request("invalid field selector"))?;
    let pointer = match name {
        "metadata.name" => "/metadata/name",
        "metadata.namespace" => "/metadata/namespace",
        other => {
            let message = format!("field label not supported: {other}");
            return Err(Failure::bad_request(message));
        }
    };
    Ok(Field {
        pointer,
        value: value.to_owned(),
        equal,
    })
}

/// `key`, `value`, and whether they shall be equal.
fn comparison(text: &str) -> Option<(&str, &str, bool)> {
    if let Some((key, value)) = text.split_once("!=") {
        return Some((key.trim(), value.trim(), false));
    }
    let (key, value) = text.split_once('=')?;
    let value = value.strip_prefix('=').unwrap_or(value);
    Some((key.trim(), value.trim(), true))
}
