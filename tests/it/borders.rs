//! Who may know whom: the borders that other projects keep with crates.
//!
//! Read from the paths that a file names, in `use` lines and in its code; what stands below
//! `#[cfg(test)] mod` is free. A new crossing is either a mistake or a line in a table below, with its
//! reason.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers with it"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Data and decisions: no IO, no time of day, nothing that waits. Folders end with a slash.
const PURE: &[&str] = &["api/", "ledger/", "plan/", "target/render.rs"];

/// What those do not know.
const IMPURE: &[&str] = &[
    "kube::Api",
    "kube::Client",
    "kube::client",
    "kube::runtime",
    "kube_runtime",
    "tokio",
    "tracing",
    "reqwest",
    "crate::clock",
    "crate::transport",
];

/// Not pure though its folder is: the ledger's way to the API server.
const IMPURE_FILES: &[&str] = &["ledger/store.rs"];

/// Crossings that are meant: file, what it may know all the same, and why.
const ALLOWED: &[(&str, &str, &str)] = &[(
    "ledger/proof.rs",
    "tokio::time::Instant",
    "the right to send a create ends by itself, in virtual time as in real",
)];

/// The files that may write Secrets.
const SECRET_WRITERS: &[&str] = &["ledger/store.rs", "target/store.rs", "instance.rs"];

/// The rooms that never ship: they may use everything, and nothing but each other may use them.
const UNSHIPPED: &[&str] = &["simulator", "sandbox"];

/// Every source file that ships, by its path below `src`.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(&src)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                sources.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    let tests: Vec<String> = sources
        .iter()
        .flat_map(|(file, source)| test_modules(file, source))
        .collect();
    sources.retain(|(file, _)| !tests.iter().any(|test| is_below_module(file, test)));
    sources
}

/// The modules that a file declares for tests only and keeps elsewhere, as paths without `.rs`.
fn test_modules(file: &str, source: &str) -> Vec<String> {
    let folder = match file.rsplit_once('/') {
        Some((folder, "mod.rs")) => format!("{folder}/"),
        None if matches!(file, "lib.rs" | "main.rs") => String::new(),
        _ => format!("{}/", file.trim_end_matches(".rs")),
    };
    let declared = source.split("#[cfg(test)]\n").skip(1).filter_map(|after| {
        let (declaration, _) = after.split_once(';')?;
        let (_, name) = declaration.split_once("mod ")?;
        (!name.contains(['{', ' '])).then(|| format!("{folder}{name}"))
    });
    declared.collect()
}

fn is_below_module(file: &str, module: &str) -> bool {
    file.strip_prefix(module)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// The code of a file: no comments, no tests, every `use` at the start of its line.
fn code(source: &str) -> String {
    let shipped = source
        .split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default();
    let lines = shipped.lines().map(|line| {
        let line = line.split("//").next().unwrap_or_default().trim_start();
        match line.split_once("use ") {
            Some((visibility, tree)) if visibility.starts_with("pub") => format!("use {tree}"),
            _ => line.to_owned(),
        }
    });
    lines.fold(String::new(), |code, line| code + "\n" + &line)
}

/// Every path that the code names, from the crate root on.
fn paths(file: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = String::new();
    for (index, statement) in code.split("\nuse ").enumerate() {
        let (tree, after) = match statement.split_once(';') {
            Some((tree, after)) if index > 0 => (tree, after),
            _ => ("", statement),
        };
        expand("", tree, &mut found);
        rest.push_str(after);
    }
    let words = rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    found.extend(words.filter(|word| word.contains("::")).map(str::to_owned));
    found.iter().map(|path| absolute(file, path)).collect()
}

/// The leaves of a `use` tree, `a::{b, c::{d, e}}`.
fn expand(prefix: &str, tree: &str, found: &mut BTreeSet<String>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let leaf = tree.split_whitespace().next().unwrap_or_default();
        if !leaf.is_empty() {
            found.insert(format!("{prefix}{leaf}"));
        }
        return;
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let mut depth = 0;
    let branches = group.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    for branch in branches {
        expand(&format!("{prefix}{head}"), branch, found);
    }
}

/// `super::` and `self::` in terms of the crate root.
fn absolute(file: &str, path: &str) -> String {
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let mut place: Vec<&str> = module.split('/').collect();
    let mut steps = path.split("::").peekable();
    let mut relative = false;
    while let Some(step) = steps.next_if(|step| matches!(*step, "super" | "self")) {
        relative = true;
        if step == "super" {
            place.pop();
        }
    }
    if !relative {
        return path.to_owned();
    }
    let whole: Vec<&str> = ["crate"].into_iter().chain(place).chain(steps).collect();
    whole.join("::")
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_in(file: &str, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| file == *place || place.ends_with('/') && file.starts_with(place))
}

fn is_unshipped(file: &str) -> bool {
    file == "bin/handover-sandbox.rs"
        || UNSHIPPED
            .iter()
            .any(|room| file.split(['/', '.']).next() == Some(*room))
}

/// What a file names and should not.
fn crossings(file: &str, source: &str) -> Vec<String> {
    let code = code(source);
    let paths = paths(file, &code);
    let mut crossings = Vec::new();
    for path in &paths {
        let allowed = ALLOWED
            .iter()
            .any(|(place, what, _)| *place == file && is_below(path, what));
        let pure = is_in(file, PURE) && !is_in(file, IMPURE_FILES);
        let impure = pure && IMPURE.iter().any(|what| is_below(path, what));
        let wire = is_below(path, "reqwest") && !file.starts_with("transport/");
        let unshipped = !is_unshipped(file)
            && UNSHIPPED.iter().any(|room| {
                is_below(path, &format!("crate::{room}"))
                    || is_below(path, &format!("handover::{room}"))
            });
        if (impure && !allowed) || wire || unshipped {
            crossings.push(format!("{file} names {path}"));
        }
    }
    if writes_secrets(&code) && !is_in(file, SECRET_WRITERS) && !is_unshipped(file) {
        crossings.push(format!("{file} writes Secrets"));
    }
    crossings
}

/// Whether a verb that writes is called on something that is declared as an API of Secrets, or on one
/// in passing.
fn writes_secrets(code: &str) -> bool {
    let lines: Vec<&str> = code.split_whitespace().collect();
    let code = lines.join(" ").replace(" .", ".");
    let verbs = [
        ".create(",
        ".replace(",
        ".patch(",
        ".delete(",
        ".delete_collection(",
    ];
    let calls = |name: &str| {
        verbs
            .iter()
            .any(|verb| code.contains(&format!("{name}{verb}")))
    };
    let declared = code.match_indices("Api<Secret>").any(|(at, _)| {
        let before = code[..at].trim_end_matches([' ', '&', ':']);
        let name = before
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next();
        name.is_some_and(|name| !name.is_empty() && calls(name))
    });
    let in_passing = code.split("Api::<Secret>").skip(1).any(|after| {
        let statement = after.split(';').next().unwrap_or_default();
        verbs.iter().any(|verb| statement.contains(verb))
    });
    declared || in_passing
}

#[test]
fn nobody_crosses_a_border() {
    let sources = sources();
    assert!(
        sources.iter().any(|(file, _)| file == "api/access.rs"),
        "the sources were not found"
    );
    let crossings: Vec<String> = sources
        .iter()
        .flat_map(|(file, source)| crossings(file, source))
        .collect();
    assert_eq!(crossings, [""; 0]);
}

#[test]
fn every_crossing_that_would_matter_is_seen() {
    for (file, source) in [
        ("plan/rules.rs", "use kube::{core::ObjectMeta, Client};"),
        ("plan/gates.rs", "use super::super::clock::Clock;"),
        ("api/mod.rs", "fn f() { tracing::info!(\"x\"); }"),
        ("ledger/transition.rs", "use tokio::time::Instant;"),
        ("ledger/proof.rs", "use tokio::time::{Instant, sleep};"),
        (
            "target/render.rs",
            "use std::{fmt, io};\nuse crate::{\n    clock::Clock,\n    plan::Plan,\n};",
        ),
        (
            "plan/mod.rs",
            "pub(crate) use tracing::{info, warn as loud};",
        ),
        ("plan/mod.rs", "fn f() {\n    use kube::{Client};\n}"),
        ("provider/errova.rs", "type Wire = reqwest::Client;"),
        ("app.rs", "use crate::{ledger, sandbox::assets};"),
        ("main.rs", "use handover::simulator;"),
        (
            "reconcile/connection.rs",
            "async fn f(a: Api<Secret>) { a\n    .patch(x).await }",
        ),
        (
            "app.rs",
            "async fn f(c: C) { Api::<Secret>::all(c).delete(x).await }",
        ),
    ] {
        assert!(!crossings(file, source).is_empty(), "{file}: {source}");
    }
}

#[test]
fn a_test_module_is_found_where_it_is_declared() {
    let source = "#[cfg(test)]\nmod contract;\n#[cfg(test)]\nmod tests {\n use super::*;\n}";
    assert_eq!(
        test_modules("provider/errova.rs", source),
        ["provider/errova/contract"]
    );
    assert_eq!(
        test_modules("provider/mod.rs", source),
        ["provider/contract"]
    );
    assert_eq!(test_modules("lib.rs", source), ["contract"]);
    assert!(is_below_module(
        "provider/contract/faults.rs",
        "provider/contract"
    ));
    assert!(!is_below_module(
        "provider/contracts.rs",
        "provider/contract"
    ));
}

#[test]
fn what_is_allowed_stays_allowed() {
    for (file, source) in [
        (
            "plan/rules.rs",
            "use kube::core::Selector;\n// tokio::spawn is not ours\n",
        ),
        (
            "plan/rules.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use tokio::time;\n}",
        ),
        ("ledger/proof.rs", "use tokio::time::Instant;"),
        (
            "target/store.rs",
            "async fn f(a: Api<Secret>) { a.patch(x).await }",
        ),
        (
            "reconcile/connection.rs",
            "async fn f(a: Api<Secret>) { a.get(x).await }",
        ),
        (
            "reconcile/targets.rs",
            "async fn f(a: &Api<Secret>, b: &Api<Review>) { a.list(x).await; b.create(x).await }",
        ),
        ("transport/network.rs", "use reqwest::redirect;"),
        ("bin/handover-sandbox.rs", "use handover::sandbox;"),
        ("sandbox/story.rs", "use crate::simulator::Knobs;"),
    ] {
        assert_eq!(crossings(file, source), [""; 0], "{file}: {source}");
    }
}
