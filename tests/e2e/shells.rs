//! What is generated from the commands, tried by the programs it is for: bash completes, the manual pages format.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::cluster::FFRTMP;

fn script(shell: &str) -> String {
    let output = Command::new(FFRTMP)
        .args(["completions", shell])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What bash offers after these words, of which the last is being typed.
fn bash_offers(script: &Path, words: &[&str]) -> Vec<String> {
    let cur = words.last().unwrap();
    let prev = words[words.len() - 2];
    let line = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; \
         f=$(complete -p ffrtmp | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \"$f\" ffrtmp '{cur}' '{prev}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words
            .iter()
            .map(|w| format!("'{w}'"))
            .collect::<Vec<_>>()
            .join(" "),
        words.len() - 1,
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", &line])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_their_words() {
    let script = script("bash");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ffrtmp.bash");
    fs::write(&file, &script).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&file).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty());
    assert_eq!(bash_offers(&file, &["ffrtmp", "conf"]), ["config"]);
    assert_eq!(bash_offers(&file, &["ffrtmp", "config", "s"]), ["show"]);
    let flags = bash_offers(&file, &["ffrtmp", "jobs", "submit", "--in"]);
    assert!(flags.contains(&"--input".to_owned()), "{flags:?}");
    assert_eq!(
        bash_offers(&file, &["ffrtmp", "completions", "f"]),
        ["fish"]
    );
}

#[test]
fn the_scripts_of_zsh_and_fish_name_every_command() {
    for (shell, begins) in [("zsh", "#compdef ffrtmp"), ("fish", "")] {
        let script = script(shell);
        assert!(script.starts_with(begins));
        for command in ["master", "worker", "jobs", "nodes", "config", "completions"] {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn every_manual_page_formats_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new(FFRTMP)
        .args(["man", "--dir"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let mut pages: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in ["ffrtmp.1", "ffrtmp-jobs-submit.1", "ffrtmp-config-show.1"] {
        assert!(pages.iter().any(|name| name == page), "{page}: {pages:?}");
    }
    for page in &pages {
        let output = Command::new("groff")
            .args(["-man", "-ww", "-Tascii", "-P-cbou"])
            .arg(dir.path().join(page))
            .output()
            .expect("groff formats manual pages; on Debian: apt-get install groff-base");
        let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && warnings.is_empty(),
            "{page}: {warnings}"
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("SYNOPSIS"), "{page}: {text}");
    }
}
