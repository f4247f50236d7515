//! A page taken apart: its tags and their attributes. Text in pages is escaped, so `<` begins nothing else.

/// An opening tag.
#[derive(Debug)]
pub struct Opening {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Opening {
    pub fn value(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Every opening tag of a page, in order.
pub fn openings(page: &str) -> Vec<Opening> {
    let mut all = Vec::new();
    for rest in page.split('<').skip(1) {
        if rest.starts_with('/') || rest.starts_with('!') {
            continue;
        }
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(!name.is_empty(), "a bare < before {:?}", &rest.chars().take(40).collect::<String>());
        all.push(Opening { attributes: attributes(&rest[name.len()..]), name });
    }
    all
}

fn attributes(mut rest: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start();
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:".contains(*c)).collect();
        if name.is_empty() {
            assert!(
                rest.starts_with('>') || rest.starts_with("/>"),
                "odd tag end {:?}",
                rest.chars().take(40).collect::<String>()
            );
            return all;
        }
        rest = &rest[name.len()..];
        let Some(quoted) = rest.strip_prefix("=\"") else {
            all.push((name, String::new()));
            continue;
        };
        let (value, after) = quoted.split_once('"').expect("values end");
        all.push((name, unescaped(value)));
        rest = after;
    }
}

fn unescaped(value: &str) -> String {
    let pairs = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&#60;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    pairs.iter().fold(value.to_owned(), |value, (escape, plain)| value.replace(escape, plain))
}
