//! The file that `ffrtmp config init` writes: every setting, commented out at its default, under its explanation.

use super::table::{Kind, Role, Setting, of};

/// Width of the comments.
const WIDTH: usize = 96;

/// A file for these parts. It sets nothing; taking the `#` off a line that has a value changes nothing either.
pub fn sample(roles: &[Role]) -> String {
    let mut text = String::from(
        "# Settings of ffrtmp. A flag goes before a variable, a variable before this file, this file before the default.\n\
         # Every line that is commented out shows the default. `ffrtmp config show` prints what is in force and where it came\n\
         # from; `ffrtmp config check` says what would stop or worry a start. Secrets stand in files of their own.\n",
    );
    for role in roles {
        let about = match role {
            Role::Client => "every command that talks to a master",
            Role::Master => "ffrtmp master",
            Role::Worker => "ffrtmp worker",
            Role::Up => "ffrtmp up; its master and workers also read [master] and [worker]",
        };
        text += &format!("\n# For {about}.\n[{}]\n", role.word());
        for setting in of(*role) {
            text.push('\n');
            for line in wrapped(&explanation(&setting)) {
                text += &format!("# {line}\n");
            }
            text += &format!("#{} = {}\n", setting.key, example(&setting));
        }
    }
    text
}

fn explanation(setting: &Setting) -> String {
    let mut text = setting.help.clone();
    if !text.ends_with('.') {
        text.push('.');
    }
    text += &format!(" Variable: {}.", setting.variables.join(", else "));
    if setting.reloads {
        text += " SIGHUP takes a new value over.";
    }
    if setting.default.is_none() {
        text += " (The value below is an example.)";
    }
    text
}

/// The default in TOML; for a setting without one, something that is accepted.
fn example(setting: &Setting) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    match (&setting.kind, &setting.default) {
        (Kind::Switch | Kind::Number, Some(default)) => default.clone(),
        (_, Some(default)) => quoted(default),
        (Kind::Switch, None) => "false".into(),
        (Kind::Number, None) => "4".into(),
        (Kind::Time, None) => quoted("30s"),
        (Kind::Size, None) => quoted("50G"),
        (Kind::Address, None) => quoted("127.0.0.1:9091"),
        (Kind::Path, None) => quoted("/path/to/it"),
        (Kind::Choice(words), None) => quoted(words.first().map_or("", String::as_str)),
        (Kind::Pairs, None) => "{ zone = \"eu\" }".into(),
        (Kind::List, None) => "[]".into(),
        (Kind::Text, None) => quoted(match setting.key.as_str() {
            "master" => ffrtmp_api::client::MASTER_DEFAULT,
            "log_level" => "info",
            "alertmanager" => "http://127.0.0.1:9093",
            _ => "name",
        }),
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, String::len);
        if line > 0 && line + 1 + word.len() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::file::File, *};

    fn read(text: &str) -> File {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        File::read(Path::new(&path)).unwrap()
    }

    /// With every setting switched on.
    fn uncommented(text: &str) -> String {
        text.lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect()
    }

    #[test]
    fn the_file_sets_nothing_and_every_line_of_it_could_be_switched_on() {
        let text = sample(&Role::ALL);
        let file = read(&text);
        let on = read(&uncommented(&text));
        for setting in Role::ALL.into_iter().flat_map(of) {
            assert_eq!(file.entry(&setting), None);
            let entry = on.entry(&setting);
            let entry = entry.unwrap_or_else(|| panic!("{} is not in the file", setting.key));
            if let Some(default) = &setting.default {
                assert_eq!(
                    entry.texts,
                    std::slice::from_ref(default),
                    "{}",
                    setting.key
                );
            }
        }
        assert!(text.lines().all(|line| line.len() <= 130));
    }
}
