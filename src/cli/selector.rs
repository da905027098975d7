//! Label selectors, as Kubernetes reads them in a query: requirements separated by commas.

/// Whether the API server would take it.
pub(super) fn is_selector(text: &str) -> bool {
    !text.trim().is_empty()
        && requirements(text)
            .iter()
            .all(|one| is_requirement(one.trim()))
}

/// Split at the commas that are not within parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn is_requirement(text: &str) -> bool {
    if let Some(key) = text.strip_prefix('!') {
        return is_key(key.trim());
    }
    if let Some((head, values)) = text.split_once('(') {
        return is_set(head, values);
    }
    ["!=", "==", "="]
        .into_iter()
        .find_map(|operator| text.split_once(operator))
        .map_or_else(
            || is_key(text),
            |(key, value)| is_key(key.trim()) && is_value(value.trim()),
        )
}

/// `key in (a, b)` or `key notin (a, b)`, from the parenthesis on in `values`.
fn is_set(head: &str, values: &str) -> bool {
    let words: Vec<_> = head.split_whitespace().collect();
    let [key, "in" | "notin"] = words.as_slice() else {
        return false;
    };
    let values = values.strip_suffix(')').unwrap_or_default();
    is_key(key) && !values.trim().is_empty() && values.split(',').all(|v| is_value(v.trim()))
}

fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_domain(prefix) && is_name(name),
        None => is_name(text),
    }
}

fn is_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let mut bytes = text.bytes();
    text.len() <= 63
        && bytes.clone().all(inner)
        && edge(bytes.clone().next())
        && edge(bytes.next_back())
}

fn is_domain(text: &str) -> bool {
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase() || b == b'_');
    text.len() <= 253 && lower && text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_takes_is_taken() {
        for text in [
            "shard=a",
            "shard == a",
            "shard!=a",
            "shard",
            "!shard",
            "handover.dev/shard=a",
            "shard in (a)",
            "shard in (a, b),tier notin (x,y),!legacy,env=",
            "a=",
        ] {
            assert!(is_selector(text), "{text:?}");
        }
    }

    #[test]
    fn what_it_would_refuse_is_refused() {
        for text in [
            "",
            " ",
            ",",
            "a=b,",
            "a b",
            "=a",
            "a=b=c",
            "a in b",
            "a in ()",
            "a in (b",
            "a in (b))",
            "a of (b)",
            "-a=b",
            "a=-b",
            "A.b/C/d=e",
            "Example.com/a=b",
            "/a=b",
            "a=b\nc=d",
        ] {
            assert!(!is_selector(text), "{text:?}");
        }
        assert!(!is_selector(&"a".repeat(64)));
    }
}
