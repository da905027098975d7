//! README.md shows commands and a manifest: they have to be true.

use std::{fs, path::Path};

use clap::Parser as _;
use handover::{api::machine_token::MachineToken, cli::Cli};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The fenced blocks below a heading, up to the next one.
fn blocks(section: &str) -> Vec<String> {
    let readme = file("README.md");
    let from = readme.split(&format!("\n## {section}\n")).nth(1).unwrap();
    let here = from.split("\n## ").next().unwrap();
    let fenced = here.split("\n```").skip(1).step_by(2);
    fenced
        .map(|block| block.split_once('\n').unwrap().1.to_owned())
        .collect()
}

#[test]
fn the_first_command_of_each_section_exists() {
    assert_eq!(blocks("Quick start")[0], "cargo sandbox");
    assert_eq!(blocks("Test")[0], "cargo test");
    let aliases = file(".cargo/config.toml");
    let alias = aliases
        .lines()
        .find(|line| line.starts_with("sandbox = "))
        .unwrap();
    assert!(alias.contains("\"handover-sandbox\""), "{alias}");
}

#[test]
fn the_shortest_manifest_is_a_valid_token() {
    let shown = blocks("How it works")
        .into_iter()
        .find(|block| block.contains("kind: MachineToken"));
    let manifest = handover::yaml::read_all::<serde_json::Value>(&shown.unwrap())
        .unwrap()
        .remove(0);
    let token: MachineToken = serde_json::from_value(manifest).unwrap();
    token.validate().unwrap();
}

#[test]
fn the_subcommands_that_are_said_to_work_do() {
    assert!(file("README.md").contains("the subcommands beyond `run` and `crds`"));
    for command in ["run", "crds"] {
        let parsed = Cli::try_parse_from(["handover", command, "--help"]).unwrap_err();
        assert_eq!(
            parsed.kind(),
            clap::error::ErrorKind::DisplayHelp,
            "{command}"
        );
    }
}

#[test]
fn the_files_that_readme_points_to_are_there() {
    let readme = file("README.md");
    for link in readme
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
        assert!(
            link.starts_with("http") || path.exists(),
            "README.md points to {link}, which is not there"
        );
    }
}
