//! Pieces of CEL that several rules share.
//!
//! The API server checks a pattern and the rules side by side: a rule that converts a duration stays
//! silent about text that is none, so that one mistake gives one message.

use super::span::PATTERN;

/// The length of the duration `field` in seconds.
pub(super) fn seconds(field: &str) -> String {
    format!(
        "int({field}.substring(0, size({field}) - 1)) * ({field}.endsWith('s') ? 1 : \
         {field}.endsWith('m') ? 60 : {field}.endsWith('h') ? 3600 : 86400)"
    )
}

/// The duration `field` has at least so many seconds.
pub(super) fn at_least(field: &str, floor: u32) -> String {
    format!(
        "!{field}.matches('{PATTERN}') || {} >= {floor}",
        seconds(field)
    )
}

/// The duration `field` has at most so many seconds.
pub(super) fn at_most(field: &str, ceiling: u32) -> String {
    format!(
        "!{field}.matches('{PATTERN}') || {} <= {ceiling}",
        seconds(field)
    )
}

/// `shorter` is less than `longer`; an absent `longer` is no bound. `absent` is what an absent `shorter`
/// counts as, in seconds; without it there is nothing to compare. Both are paths below `self`.
pub(super) fn shorter(shorter: &str, longer: &str, absent: Option<u32>) -> String {
    let short = seconds(shorter);
    let long = seconds(longer);
    let otherwise = absent.map_or("true".to_owned(), |absent| format!("{absent} < {long}"));
    format!(
        "!({has_longer}) || !{longer}.matches('{PATTERN}') || \
         ({has_shorter} ? !{shorter}.matches('{PATTERN}') || {short} < {long} : {otherwise})",
        has_longer = present(longer),
        has_shorter = present(shorter),
    )
}

/// `has()` for each step of a path below `self`.
fn present(path: &str) -> String {
    let steps: Vec<String> = path
        .match_indices('.')
        .skip(1)
        .map(|(end, _)| format!("has({})", &path[..end]))
        .chain([format!("has({path})")])
        .collect();
    steps.join(" && ")
}

/// Text `items` as a CEL list.
pub(super) fn list(items: &[&str]) -> String {
    format!("['{}']", items.join("', '"))
}
