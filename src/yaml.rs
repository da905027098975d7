//! YAML in and out: the one place that prints it with `serde_yaml` and reads it with `serde-saphyr`.
//!
//! `serde_yaml` leaves strings such as `no`, `y` or `1_000` without quotes, and kubectl reads them as a
//! boolean and a number. So what was printed is read back by the other crate, which understands plain
//! words as kubectl does; if it is not the same any more, that crate prints it, with quotes.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// YAML that cannot be printed or read.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// The value has no YAML form.
    #[error("could not print YAML")]
    Print(#[source] serde_json::Error),
    /// No printer produced text that reads as the same value again.
    #[error("could not print YAML that reads as what was printed")]
    Misread,
    /// The text is not what it should be.
    #[error("could not read YAML: {0}")]
    Read(String),
}

/// Prints one document that reads as `value` again.
pub fn print<T: Serialize>(value: &T) -> Result<String, YamlError> {
    let value = serde_json::to_value(value).map_err(YamlError::Print)?;
    let plain = serde_yaml::to_string(&value).ok();
    plain
        .filter(|text| reads_as(text, &value) && keys_read_as_text(&value))
        .or_else(|| serde_saphyr::to_string(&value).ok())
        .filter(|text| reads_as(text, &value))
        .ok_or(YamlError::Misread)
}

/// Prints several documents, one after the other.
pub fn print_all<T: Serialize>(values: &[T]) -> Result<String, YamlError> {
    let documents: Vec<String> = values.iter().map(print).collect::<Result<_, _>>()?;
    Ok(documents.join("---\n"))
}

/// Reads every document of a text.
pub fn read_all<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, YamlError> {
    serde_saphyr::from_multiple(text).map_err(|error| YamlError::Read(error.to_string()))
}

/// Whether the keys would be read as text where a reader does not expect text anyway, as kubectl does.
fn keys_read_as_text(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().all(|(key, field)| {
            let key = Value::String(key.clone());
            let reads = serde_yaml::to_string(&key).is_ok_and(|text| reads_as(&text, &key));
            reads && keys_read_as_text(field)
        }),
        Value::Array(items) => items.iter().all(keys_read_as_text),
        _ => true,
    }
}

fn reads_as(text: &str, value: &Value) -> bool {
    serde_saphyr::from_str::<Value>(text).is_ok_and(|read| read == *value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_text_stays_plain() {
        let printed = print(&json!({ "every": "30d", "scopes": ["org.read"] })).unwrap();
        assert_eq!(printed, "every: 30d\nscopes:\n- org.read\n");
    }

    #[test]
    fn words_that_kubectl_would_take_for_something_else_are_quoted() {
        for word in [
            "no", "y", "Y", "n", "on", "off", "yes", "true", "null", "~", "1_000", "017", "1e3",
        ] {
            for value in [json!({ "key": word }), json!({ word: "value" })] {
                let printed = print(&value).unwrap();
                let quoted = [format!("'{word}'"), format!("\"{word}\"")];
                assert!(quoted.iter().any(|q| printed.contains(q)), "{printed}");
            }
        }
    }

    #[test]
    fn documents_are_read_in_order() {
        let printed = print_all(&[json!({ "a": 1 }), json!({ "b": "no" })]).unwrap();
        let read: Vec<Value> = read_all(&printed).unwrap();
        assert_eq!(read, [json!({ "a": 1 }), json!({ "b": "no" })]);
    }

    #[test]
    fn broken_text_is_refused() {
        assert!(read_all::<Value>("a: [").is_err());
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_went(key in ".{0,12}", text in ".{0,24}") {
            let value = json!({ key: [text] });
            let printed = print(&value).unwrap();
            prop_assert_eq!(read_all::<Value>(&printed).unwrap(), [value]);
        }
    }
}
