//! The tables of `docs/operations.md` are those of the code.

use std::{env, fs, path::Path};

use handover::telemetry::{
    events::Happening,
    metrics::{FAMILIES, FamilyInfo},
};

fn metrics() -> String {
    let rows = FAMILIES.iter().map(|family: &FamilyInfo| {
        let labels: Vec<_> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        let (name, kind) = (family.exposed_name(), family.kind.as_str());
        format!(
            "| `{name}` | {kind} | {} | {} |\n",
            labels.join(", "),
            family.meaning
        )
    });
    table("| metric | type | labels | meaning |", rows)
}

fn events() -> String {
    let rows = Happening::ALL.iter().map(|happening| {
        let severity = if happening.is_warning() {
            "Warning"
        } else {
            "Normal"
        };
        let (reason, action) = (happening.reason(), happening.action());
        format!(
            "| `{reason}` | {severity} | {action} | {} |\n",
            happening.meaning()
        )
    });
    table("| reason | type | action | meaning |", rows)
}

fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    format!("{head}\n|---|---|---|---|\n{}", rows.collect::<String>())
}

/// `text` with `content` between the marks of `section`.
fn filled(text: &str, section: &str, content: &str) -> Option<String> {
    let begin = format!("<!-- begin: {section} -->\n");
    let end = format!("<!-- end: {section} -->");
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{content}{end}{after}"))
}

#[test]
fn the_stored_tables_are_the_generated_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let stored = fs::read_to_string(&path).unwrap();
    let current = filled(&stored, "metrics", &metrics()).expect("the marks of the metrics");
    let current = filled(&current, "events", &events()).expect("the marks of the Events");
    #[expect(clippy::disallowed_methods, reason = "the switch of this test")]
    if env::var("UPDATE_GENERATED").is_ok() {
        fs::write(&path, &current).unwrap();
        return;
    }
    assert!(
        stored == current,
        "docs/operations.md is out of date. Run: UPDATE_GENERATED=1 cargo test --test it operations"
    );
}
