//! The examples that people copy: what the documents show is read as rules.

use larder_registry::rules::read;

/// The JSON of a document's examples.
fn examples(text: &str) -> Vec<&str> {
    text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_example_of_the_documents_is_rules() {
    for (file, text, at_least) in [
        ("reference/rules.md", include_str!("../../../../../docs/reference/rules.md"), 10),
        ("guide/rules.md", include_str!("../../../../../docs/guide/rules.md"), 2),
    ] {
        let found = examples(text);
        assert!(found.len() >= at_least, "{file} has {} examples", found.len());
        for example in found {
            read(example).unwrap_or_else(|problems| panic!("{file}: {problems}\n{example}"));
        }
    }
}
