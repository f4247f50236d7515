//! The pages of `docs/guide`, as somebody follows them: their code blocks, and what stands in the files that they print.

use std::path::Path;

use crate::harness::{During, Outcome};

/// A page.
#[derive(Debug)]
pub struct Page {
    name: String,
    text: String,
}

/// A fenced block.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The language after the fence.
    pub language: &'a str,
    /// What is in it.
    pub text: &'a str,
}

impl Page {
    /// Reads `docs/guide/NAME`.
    pub fn read(name: &str) -> Outcome<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(name);
        let text = std::fs::read_to_string(&path).during(|| path.display().to_string())?;
        Ok(Self { name: name.to_owned(), text })
    }

    /// What stands under a heading, until the next one of its rank or above. `path` leads from rank to rank: `["Without a secret", "GitLab CI"]`.
    pub fn section(&self, path: &[&str]) -> Outcome<&str> {
        let mut text = self.text.as_str();
        for (depth, title) in path.iter().enumerate() {
            let mark = "#".repeat(depth + 2);
            let start = format!("\n{mark} {title}\n");
            let (_, rest) = text.split_once(&start).during(|| format!("{} has no section {path:?}", self.name))?;
            let ends = (2..=depth + 2).filter_map(|rank| rest.find(&format!("\n{} ", "#".repeat(rank))));
            text = &rest[..ends.min().unwrap_or(rest.len())];
        }
        Ok(text)
    }

    /// The titles of the second rank.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| line.strip_prefix("## "))
    }

    /// The first block of a language in a section.
    pub fn block(&self, path: &[&str], language: &str) -> Outcome<&str> {
        let found = blocks(self.section(path)?).into_iter().find(|block| block.language == language);
        Ok(found.during(|| format!("{}: no {language} under {path:?}", self.name))?.text)
    }
}

/// The fenced blocks of a text.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, opened)) = rest.split_once("```") {
        let Some((language, body)) = opened.split_once('\n') else { break };
        let Some((text, after)) = body.split_once("```") else { break };
        found.push(Block { language, text });
        rest = after;
    }
    found
}

/// The lines below `key:` that are further in than it, without their indentation: a block of YAML.
pub fn below<'a>(yaml: &'a str, key: &str) -> Outcome<Vec<&'a str>> {
    let lines: Vec<&str> = yaml.lines().collect();
    let opens = |line: &&str| line.trim_start().trim_start_matches("- ").split(':').next() == Some(key);
    let start = lines.iter().position(opens).during(|| format!("no `{key}:` in\n{yaml}"))?;
    let own = indentation(lines[start]);
    let inner = lines[start + 1..].iter().take_while(|line| line.trim().is_empty() || indentation(line) > own);
    let inner: Vec<&str> = inner.copied().collect();
    let cut = inner.iter().filter(|line| !line.trim().is_empty()).map(|line| indentation(line)).min().unwrap_or(0);
    Ok(inner.into_iter().map(|line| line.get(cut..).unwrap_or_default()).collect())
}

/// The value on the line of `key:`.
pub fn value<'a>(yaml: &'a str, key: &str) -> Outcome<&'a str> {
    let find = |line: &'a str| line.trim_start().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": ");
    yaml.lines().find_map(find).during(|| format!("no `{key}: …` in\n{yaml}"))
}

/// A list of YAML scalars.
pub fn items(lines: &[&str]) -> Vec<String> {
    lines.iter().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned).collect()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_blocks_and_yaml_are_found() {
        let page = Page {
            name: "x.md".to_owned(),
            text: "# X\n\n## A\n\n### B\n\n```yaml\na:\n  script:\n    - one: 1\n    - two\nb: c\n```\n\n## C\n\n```sh\nd\n```\n"
                .to_owned(),
        };
        let yaml = page.block(&["A", "B"], "yaml").unwrap();
        assert_eq!(items(&below(yaml, "script").unwrap()), ["one: 1", "two"]);
        assert_eq!(value(yaml, "b").unwrap(), "c");
        assert_eq!(page.block(&["C"], "sh").unwrap(), "d\n");
        assert!(page.block(&["A"], "sh").is_err() && page.section(&["B"]).is_err());
        assert_eq!(page.titles().collect::<Vec<_>>(), ["A", "C"]);
    }
}
