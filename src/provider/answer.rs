//! The body of a 2xx, read two levels deep without knowing its shape.
//!
//! # Guarantees
//! - Every string goes straight into a [`SecretValue`]: which of them is the secret is decided later.
//! - The parser's own message is dropped where it arises; it quotes values.
//! - What stands before the place where a damaged body breaks is kept, so that an id can still be found.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::secret_value::SecretValue;

/// What could be read.
#[derive(Debug)]
pub(super) struct Answer {
    top: Object,
    whole: bool,
}

/// One JSON object, its members in order.
#[derive(Debug, Default)]
pub(super) struct Object(Vec<(String, Node)>);

#[derive(Debug)]
enum Node {
    /// A string, or a number as it is written.
    Text(SecretValue),
    Texts(Vec<SecretValue>),
    Object(Object),
    /// Nothing we look for: other types, and whatever lies deeper.
    Other,
}

impl Answer {
    /// Reads as much of a body as there is.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut top = Object::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = json.deserialize_map(Members {
            into: &mut top,
            nested: false,
        });
        let whole = read.is_ok() && json.end().is_ok();
        Self { top, whole }
    }

    /// Whether the body was one complete JSON object.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The top level, then the objects below it that go by one of these names.
    pub(super) fn objects<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Object> {
        let below = names.iter().filter_map(|name| match self.top.get(name) {
            Some(Node::Object(object)) => Some(object),
            _ => None,
        });
        std::iter::once(&self.top).chain(below)
    }
}

impl Object {
    /// The first of these names that holds a text.
    pub(super) fn text(&self, names: &[&str]) -> Option<&SecretValue> {
        names.iter().find_map(|name| match self.get(name) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        })
    }

    /// The first of these names that holds a list of texts.
    pub(super) fn texts(&self, names: &[&str]) -> Option<&[SecretValue]> {
        names.iter().find_map(|name| match self.get(name) {
            Some(Node::Texts(texts)) => Some(texts.as_slice()),
            _ => None,
        })
    }

    fn get(&self, name: &str) -> Option<&Node> {
        let member = self.0.iter().find(|(key, _)| key == name)?;
        Some(&member.1)
    }
}

/// Reads the members of an object as they come.
struct Members<'a> {
    into: &'a mut Object,
    nested: bool,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            let mut node = Node::Other;
            let read = map.next_value_seed(Slot {
                node: &mut node,
                nested: self.nested,
            });
            self.into.0.push((key, node));
            read?;
        }
        Ok(())
    }
}

/// Reads one value into its place, so that what was read stays there when the rest is damaged.
struct Slot<'a> {
    node: &'a mut Node,
    nested: bool,
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<(), E> {
        *self.node = Node::Text(SecretValue::new(text));
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.visit_string(number.to_string())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.nested {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut object = Object::default();
        let read = Members {
            into: &mut object,
            nested: true,
        }
        .visit_map(map);
        *self.node = Node::Object(object);
        read
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut texts = Vec::new();
        let mut uniform = true;
        let mut item = Node::Other;
        while let Some(()) = seq.next_element_seed(Slot {
            node: &mut item,
            nested: true,
        })? {
            match std::mem::replace(&mut item, Node::Other) {
                Node::Text(text) => texts.push(text),
                _ => uniform = false,
            }
        }
        if uniform {
            *self.node = Node::Texts(texts);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text<'a>(answer: &'a Answer, below: &'a [&str], name: &str) -> Option<&'a str> {
        answer
            .objects(below)
            .find_map(|object| object.text(&[name]))
            .map(SecretValue::expose)
    }

    #[test]
    fn texts_are_found_at_the_top_and_one_object_down() {
        let answer = Answer::read(
            br#"{"n":null,"f":-1.5,"id":7,"data":{"value":"v","deep":{"value":"x"}},"list":["a","b"],"mixed":["a",1.5]}"#,
        );
        assert!(answer.is_whole());
        assert_eq!(text(&answer, &[], "id"), Some("7"));
        assert_eq!(text(&answer, &["data"], "value"), Some("v"));
        assert_eq!(text(&answer, &[], "value"), None);
        assert_eq!(text(&answer, &["deep"], "value"), None);
        let list = answer.top.texts(&["list"]).unwrap();
        assert_eq!(
            list.iter().map(SecretValue::expose).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(answer.top.texts(&["mixed"]).is_none());
    }

    #[test]
    fn what_stands_before_the_damage_is_kept() {
        for body in [
            r#"{"id":"mt_01","tokenSecret":"ca"#,
            r#"{"id":"mt_01"} trailing"#,
            r#"{"id":"mt_01","x":nonsense}"#,
        ] {
            let answer = Answer::read(body.as_bytes());
            assert!(!answer.is_whole(), "{body}");
            assert_eq!(text(&answer, &[], "id"), Some("mt_01"), "{body}");
        }
        let answer = Answer::read(br#"{"data":{"id":"mt_01","x":"#);
        assert_eq!(text(&answer, &["data"], "id"), Some("mt_01"));
        let cut = Answer::read(br#"{"id":"mt_0"#);
        assert_eq!(text(&cut, &[], "id"), None);
    }

    #[test]
    fn what_is_no_object_is_not_whole() {
        for body in ["", "[]", "null", "\"x\"", "<html>", "\u{feff}{}"] {
            assert!(!Answer::read(body.as_bytes()).is_whole(), "{body}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        Answer::read(deep.as_bytes());
        let deep = format!("{}1{}", "{\"x\":".repeat(100_000), "}".repeat(100_000));
        Answer::read(deep.as_bytes());
    }

    #[test]
    fn debug_shows_no_text() {
        let answer = Answer::read(br#"{"a":"canary","b":["canary"],"c":{"d":"canary"}}"#);
        assert!(!format!("{answer:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(body in any::<Vec<u8>>(), json in "[{}\\[\\]\",:a1]{0,60}") {
            Answer::read(&body);
            Answer::read(json.as_bytes());
        }
    }
}
