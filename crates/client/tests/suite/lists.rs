//! Lists of other registries, which do not keep to the grammar of names.

use crate::fake::{Act, Fake};

fn reply(body: &str) -> Option<Act> {
    Some(Act::Reply(200, vec![], body.as_bytes().to_vec()))
}

#[tokio::test]
async fn a_name_outside_the_grammar_costs_itself_and_not_its_page() {
    let fake = Fake::start().await;
    fake.hook(|seen| {
        if seen.path.contains("_catalog") {
            return reply(r#"{"repositories":["team/model","Team/Model","-",null,"zeta"]}"#);
        }
        reply(r#"{"name":"Not/Ours","tags":["1.0",".hidden","a/b",7,"v2"]}"#)
    });
    let tags = fake.repository("a/b").all_tags().await.expect("a list");
    assert_eq!(tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.0", "v2"]);
    let page = fake.client().registry(&fake.host).expect("a registry").repositories(10).await.expect("a list");
    assert_eq!(page.items.iter().map(ToString::to_string).collect::<Vec<_>>(), ["team/model", "zeta"]);
    assert!(page.is_last());
}

#[tokio::test]
async fn a_list_may_be_null_but_not_something_else() {
    let fake = Fake::start().await;
    for body in [r#"{"name":"a/b","tags":null}"#, r#"{"name":"a/b"}"#] {
        fake.hook(move |_| reply(body));
        assert!(fake.repository("a/b").all_tags().await.expect("a list").is_empty(), "{body}");
    }
    for body in [r#"{"tags":"1.0"}"#, "<html>"] {
        fake.hook(move |_| reply(body));
        assert!(fake.repository("a/b").all_tags().await.is_err(), "{body}");
    }
}
