//! Commands that the guide writes down are commands that the program has.

use std::path::Path;

use clap::Parser;

use super::CommandLine;

/// The words of a line as a shell reads them, up to what ends the command.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | ';' | '&' | '#') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn guide(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `larder …` between backticks.
fn written(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter(|span| span.starts_with("larder ")).map(|span| span.replace('\n', " ")).collect()
}

#[track_caller]
fn is_known(page: &str, line: &str) {
    if let Err(error) = CommandLine::try_parse_from(words(line)) {
        panic!("{page} writes `{line}`: {error}");
    }
}

#[test]
fn a_line_is_read_as_a_shell_reads_it() {
    assert_eq!(
        words("larder grant add group:ml pull 'team/**' # why"),
        ["larder", "grant", "add", "group:ml", "pull", "team/**"]
    );
    assert_eq!(words("larder token password | docker login"), ["larder", "token", "password"]);
    assert_eq!(words("larder user set a --email ''"), ["larder", "user", "set", "a", "--email", ""]);
}

#[test]
fn coming_from_elsewhere_names_commands_that_are_there() {
    let text = guide("coming-from.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).collect();
    for registry in
        ["Docker Hub", "Amazon ECR", "Google Artifact Registry", "Azure Container Registry", "registry:2", "Harbor"]
    {
        assert!(text.contains(&format!("## {registry}\n")), "{registry}");
    }
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{row}");
        for line in written(cells[2]) {
            is_known("coming-from.md", &line);
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} commands are written there");
}

#[test]
fn the_concepts_name_commands_that_are_there() {
    let lines = written(&guide("concepts.md"));
    assert!(lines.len() > 2, "{lines:?}");
    for line in lines {
        is_known("concepts.md", &line);
    }
}
