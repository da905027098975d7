//! The first thing that a newcomer runs, as they run it.

use std::{fs, process::Stdio};

use handover::simulator::CANARY;
use tokio::process::Command;

use crate::plane;

#[tokio::test]
async fn the_sandbox_tells_its_story_shows_no_value_and_cleans_up() {
    if plane::is_off() {
        return;
    }
    // Its folder goes below this one.
    let folder = tempfile::tempdir().unwrap();
    let told = Command::new(env!("CARGO_BIN_EXE_handover-sandbox"))
        .arg("--once")
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = [told.stdout, told.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let [story, progress] = &text;
    assert!(told.status.success(), "{story}\n{progress}");
    for chapter in ["1. ", "2. ", "3. ", "4. ", "The story came true"] {
        let begins = |line: &str| line.starts_with(chapter);
        assert!(story.lines().any(begins), "{chapter:?} is missing\n{story}");
    }
    assert!(!story.contains('\u{1b}'), "colours belong on a terminal");
    assert!(!text.concat().contains(CANARY), "a value was shown");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
