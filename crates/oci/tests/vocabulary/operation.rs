//! Bodies of protocol operations.

use larder_oci::{Catalog, Descriptor, ErrorBody, ErrorCode, ReferrersIndex, TagList};
use serde_json::json;

use crate::sha256;

#[test]
fn a_tag_list_names_its_repository() {
    let list = TagList { name: "team/model".parse().unwrap(), tags: vec!["v1".parse().unwrap()] };
    let json = json!({"name": "team/model", "tags": ["v1"]});
    assert_eq!(serde_json::to_value(&list).unwrap(), json);
    assert_eq!(serde_json::from_value::<TagList>(json).unwrap(), list);
    // An empty list is written as a list, and read even where another registry wrote null.
    let empty = TagList { tags: Vec::new(), ..list };
    assert_eq!(serde_json::to_value(&empty).unwrap()["tags"], json!([]));
    assert_eq!(serde_json::from_str::<TagList>(r#"{"name":"team/model","tags":null}"#).unwrap(), empty);
}

#[test]
fn a_catalog_lists_repositories() {
    let catalog = Catalog { repositories: vec!["a".parse().unwrap(), "b/c".parse().unwrap()] };
    assert_eq!(serde_json::to_string(&catalog).unwrap(), r#"{"repositories":["a","b/c"]}"#);
    assert_eq!(serde_json::from_str::<Catalog>(r#"{"repositories":null}"#).unwrap(), Catalog::default());
}

#[test]
fn an_error_has_a_code_of_the_table() {
    let body = ErrorBody::new(ErrorCode::BlobUnknown, "blob unknown", json!({"digest": "x"}));
    let json = json!({"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown", "detail": {"digest": "x"}}]});
    assert_eq!(serde_json::to_value(&body).unwrap(), json);
    assert_eq!(serde_json::from_value::<ErrorBody>(json).unwrap(), body);
    let bare = ErrorBody::new(ErrorCode::Unknown, "internal error", serde_json::Value::Null);
    assert_eq!(serde_json::to_string(&bare).unwrap(), r#"{"errors":[{"code":"UNKNOWN","message":"internal error"}]}"#);
    let other: ErrorBody = serde_json::from_str(r#"{"errors":[{"code":"OWN"}]}"#).unwrap();
    assert_eq!(other.errors[0].code, "OWN");
}

#[test]
fn referrers_are_an_image_index_even_when_there_are_none() {
    let empty = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [],
    });
    assert_eq!(serde_json::to_value(ReferrersIndex::new(Vec::new())).unwrap(), empty);
    let index = ReferrersIndex::new(vec![Descriptor::new("a/b", sha256(1), 2)]);
    let text = serde_json::to_string(&index).unwrap();
    assert_eq!(serde_json::from_str::<ReferrersIndex>(&text).unwrap(), index);
}
