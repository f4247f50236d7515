//! What grants decide: the judge is a table here, as any judge could be.

use std::sync::Arc;

use bytes::Bytes;
use larder_oci::{Action, Actions, Digest, Reference, RepositoryName, RepositoryPattern, Tag};
use larder_registry::{
    Actor, CreateOnPush, Error, Judge, Mount, PageRequest, RepositoryChange, RollbackTo, Settings, TagListing,
    UploadBody, Verdict, Visible, testing,
};

use crate::driver::{Driver, image, name, sha256};

/// Grants as a table.
#[derive(Debug, Default)]
struct Table {
    allow: Vec<(Actions, RepositoryPattern)>,
    deny: Vec<(Actions, RepositoryPattern)>,
}

impl Table {
    fn allow(mut self, actions: &str, pattern: &str) -> Self {
        self.allow.push((actions.parse().expect("actions"), pattern.parse().expect("a pattern")));
        self
    }

    fn deny(mut self, actions: &str, pattern: &str) -> Self {
        self.deny.push((actions.parse().expect("actions"), pattern.parse().expect("a pattern")));
        self
    }

    fn of(self, identity: &str) -> Actor {
        Actor::granted(identity, Arc::new(self))
    }
}

impl Judge for Table {
    fn verdict(&self, action: Action, repository: &RepositoryName) -> Verdict {
        let holds = |rules: &[(Actions, RepositoryPattern)]| {
            rules.iter().any(|(actions, pattern)| actions.implies(action) && pattern.matches(repository))
        };
        match (holds(&self.deny), holds(&self.allow)) {
            (true, _) => Verdict::Denied,
            (false, true) => Verdict::Allowed,
            (false, false) => Verdict::Silent,
        }
    }

    fn visible(&self) -> Visible {
        let pull = |rules: &[(Actions, RepositoryPattern)]| {
            rules
                .iter()
                .filter(|(actions, _)| actions.implies(Action::Pull))
                .map(|(_, pattern)| pattern.clone())
                .collect()
        };
        Visible { allow: pull(&self.allow), deny: pull(&self.deny), public: true }
    }

    fn leaves(&self, _: Action, _: &RepositoryName) -> bool {
        true
    }

    fn administrator(&self) -> bool {
        false
    }
}

fn everything() -> PageRequest {
    PageRequest { limit: 100, after: None }
}

fn public(public: bool) -> RepositoryChange {
    RepositoryChange { public: Some(public), ..RepositoryChange::default() }
}

async fn blob(
    driver: &Driver,
    actor: &Actor,
    repository: &str,
    bytes: &'static [u8],
) -> larder_registry::Result<Digest> {
    let body = UploadBody::of(Bytes::from_static(bytes));
    driver.registry.push_blob(actor, &name(repository), &sha256(bytes), body).await
}

/// Invariant 13, CVE-2019-19030: what may not be seen is answered like what does not exist.
#[tokio::test]
async fn without_a_right_on_a_name_nothing_tells_whether_it_exists() {
    let driver = Driver::new().await;
    let digest = driver.push_image("team/secret", "1", &[b"weights"]).await;
    let stranger = Table::default().allow("pull,push", "mine/**").of("user:mallory");
    for repository in ["team/secret", "team/absent"] {
        let (registry, repository) = (&driver.registry, name(repository));
        let reference = Reference::Digest(digest);
        let tag: Tag = "1".parse().expect("a tag");
        assert!(matches!(registry.manifest(&stranger, &repository, &reference).await, Err(Error::Denied)));
        assert!(matches!(registry.manifest_head(&stranger, &repository, &reference).await, Err(Error::Denied)));
        assert!(matches!(registry.blob(&stranger, &repository, &sha256(b"weights")).await, Err(Error::Denied)));
        assert!(matches!(registry.blob_head(&stranger, &repository, &sha256(b"weights")).await, Err(Error::Denied)));
        assert!(matches!(registry.tags(&stranger, &repository, &everything()).await, Err(Error::Denied)));
        assert!(matches!(
            registry.tag_rows(&stranger, &repository, &TagListing::default(), &everything()).await,
            Err(Error::Denied)
        ));
        assert!(matches!(registry.tag_history(&stranger, &repository, &tag, None, 9).await, Err(Error::Denied)));
        let referrers = registry.referrers(&stranger, &repository, &digest, None, &everything()).await;
        assert!(matches!(referrers, Err(Error::Denied)));
        assert!(matches!(registry.repository_summary(&stranger, &repository).await, Err(Error::Denied)));
        assert!(matches!(registry.start_upload(&stranger, &repository, None).await, Err(Error::Denied)));
        assert!(matches!(registry.mount(&stranger, &repository, &digest, None).await, Err(Error::Denied)));
        assert!(matches!(registry.delete_manifest(&stranger, &repository, &reference).await, Err(Error::Denied)));
        assert!(matches!(registry.delete_blob(&stranger, &repository, &digest).await, Err(Error::Denied)));
        assert!(matches!(registry.move_tag(&stranger, &repository, &tag, &reference).await, Err(Error::Denied)));
        assert!(matches!(registry.create_repository(&stranger, &repository, public(true)).await, Err(Error::Denied)));
        assert!(matches!(registry.set_repository(&stranger, &repository, public(true)).await, Err(Error::Denied)));
        assert!(matches!(registry.remove_repository(&stranger, &repository).await, Err(Error::Denied)));
        assert_eq!(registry.allowed(&stranger, &repository).await.expect("a verdict"), Actions::EMPTY);
    }
}

#[tokio::test]
async fn what_is_public_may_be_pulled_by_anybody_and_nothing_more() {
    let driver = Driver::new().await;
    let digest = driver.push_image("team/model", "1", &[b"weights"]).await;
    let anybody = Table::default().of("anonymous");
    let refused = Table::default().deny("pull", "team/**").of("user:mallory");
    let (registry, repository, reference) = (&driver.registry, name("team/model"), Reference::Digest(digest));
    assert!(matches!(registry.manifest(&anybody, &repository, &reference).await, Err(Error::Denied)));

    registry.set_repository(&driver.actor, &repository, public(true)).await.expect("it becomes public");
    registry.manifest(&anybody, &repository, &reference).await.expect("it is public");
    assert_eq!(registry.allowed(&anybody, &repository).await.expect("a verdict"), Actions::of(&[Action::Pull]));
    assert!(matches!(blob(&driver, &anybody, "team/model", b"more").await, Err(Error::Denied)));
    assert!(matches!(registry.delete_manifest(&anybody, &repository, &reference).await, Err(Error::Denied)));
    // A refusal that somebody wrote down wins.
    assert!(matches!(registry.manifest(&refused, &repository, &reference).await, Err(Error::Denied)));
    assert!(registry.repositories(&refused, &everything()).await.expect("a list").items.is_empty());

    registry.set_repository(&driver.actor, &repository, public(false)).await.expect("it becomes private");
    assert!(matches!(registry.manifest(&anybody, &repository, &reference).await, Err(Error::Denied)));
}

#[tokio::test]
async fn lists_show_what_may_be_pulled() {
    let driver = Driver::new().await;
    for repository in ["alice/a", "team/b", "team/deep/c", "team/hidden", "open/d", "other/e"] {
        driver.push_blob(repository, b"bytes").await;
    }
    driver.registry.set_repository(&driver.actor, &name("open/d"), public(true)).await.expect("it becomes public");
    let actor = Table::default()
        .allow("pull", "alice/**")
        .allow("pull", "*/b")
        .allow("pull", "team/**")
        .deny("pull", "team/hidden");
    let actor = actor.of("user:alice");
    let names = |page: larder_registry::Page<RepositoryName>| {
        page.items.iter().map(RepositoryName::to_string).collect::<Vec<_>>()
    };
    let listed = driver.registry.repositories(&actor, &everything()).await.expect("a list");
    assert_eq!(names(listed), ["alice/a", "open/d", "team/b", "team/deep/c"]);
    let page = PageRequest { limit: 2, after: Some("alice/a".to_owned()) };
    let listed = driver.registry.repositories(&actor, &page).await.expect("a list");
    assert!(listed.more);
    assert_eq!(names(listed), ["open/d", "team/b"]);
    let summaries = driver.registry.repository_summaries(&actor, &everything()).await.expect("a list");
    assert_eq!(summaries.items.len(), 4);
    let stranger = Table::default().of("anonymous");
    assert_eq!(names(driver.registry.repositories(&stranger, &everything()).await.expect("a list")), ["open/d"]);
}

/// CVE-2024-39897, openshift/origin#9755: a mount reads, so it needs pull where it reads (**Invariant 5**).
#[tokio::test]
async fn a_mount_takes_only_from_what_may_be_pulled() {
    let driver = Driver::new().await;
    let digest = driver.push_blob("team/secret", b"secret weights").await;
    let pusher = Table::default().allow("pull,push", "mine/**").of("user:mallory");
    let (registry, mine) = (&driver.registry, name("mine/model"));
    for from in [Some(name("team/secret")), Some(name("team/absent")), Some(mine.clone()), None] {
        let mounted = registry.mount(&pusher, &mine, &digest, from.as_ref()).await;
        assert!(matches!(mounted, Ok(Mount::Upload(_))), "{from:?}: {mounted:?}");
    }
    assert!(matches!(registry.blob(&pusher, &mine, &digest).await, Err(Error::BlobUnknown { .. })));
    // A manifest that names it gives no right to it either (T-A3).
    let pushed = larder_registry::ManifestPush {
        reference: "1".parse().expect("a reference"),
        extra_tags: Vec::new(),
        content_type: None,
        bytes: image(&[b"secret weights"]).into(),
        condition: larder_registry::Condition::Any,
    };
    registry.push_manifest(&pusher, &mine, pushed).await.expect("a dangling manifest is taken");
    assert!(matches!(registry.blob(&pusher, &mine, &digest).await, Err(Error::BlobUnknown { .. })));

    let reader = Table::default().allow("pull,push", "mine/**").allow("pull", "team/**").of("user:alice");
    let mounted = registry.mount(&reader, &mine, &digest, Some(&name("team/secret"))).await;
    assert!(matches!(mounted, Ok(Mount::Mounted(_))), "{mounted:?}");
    let anywhere = Table::default().allow("pull,push", "hers/**").allow("pull", "team/**").of("user:carol");
    let mounted = registry.mount(&anywhere, &name("hers/model"), &digest, None).await;
    assert!(matches!(mounted, Ok(Mount::Mounted(_))), "{mounted:?}");
}

#[tokio::test]
async fn each_action_opens_what_it_is_for() {
    let driver = Driver::new().await;
    let digest = driver.push_image("team/model", "1", &[b"weights"]).await;
    let (registry, repository, reference) = (&driver.registry, name("team/model"), Reference::Digest(digest));
    let tag: Tag = "stable".parse().expect("a tag");
    let actor = |actions: &str| Table::default().allow(actions, "team/**").of("user:alice");

    let mover = actor("tag-move");
    registry.move_tag(&mover, &repository, &tag, &reference).await.expect("that is what it is for");
    assert!(matches!(registry.start_upload(&mover, &repository, None).await, Err(Error::Denied)));
    let pusher = actor("push");
    registry.move_tag(&pusher, &repository, &tag, &reference).await.expect("a push moves tags too");
    registry.create_repository(&pusher, &name("team/new"), public(true)).await.expect("whoever may push may make it");
    assert!(matches!(registry.manifest(&pusher, &repository, &reference).await, Err(Error::Denied)));
    assert!(matches!(registry.delete_manifest(&pusher, &repository, &reference).await, Err(Error::Denied)));
    assert!(matches!(registry.set_repository(&pusher, &repository, public(true)).await, Err(Error::Denied)));
    assert!(matches!(registry.remove_repository(&pusher, &repository).await, Err(Error::Denied)));
    assert!(matches!(registry.usage(&pusher).await, Err(Error::Denied)));
    let deleter = actor("delete");
    registry.delete_manifest(&deleter, &repository, &Reference::Tag(tag)).await.expect("that is what it is for");
    assert!(matches!(registry.start_upload(&deleter, &repository, None).await, Err(Error::Denied)));
    let owner = actor("admin");
    registry.set_repository(&owner, &repository, public(true)).await.expect("an administrator of it");
    registry.remove_repository(&owner, &repository).await.expect("an administrator of it");
    let gone = registry.set_repository(&owner, &repository, public(true)).await;
    assert!(matches!(gone, Err(Error::RepositoryUnknown(_))));
}

/// CVE-2026-32589: a session is its opener's, and his rights are asked for again with each request.
#[tokio::test]
async fn an_upload_is_its_openers_as_long_as_he_may_push() {
    let driver = Driver::new().await;
    let (registry, repository) = (&driver.registry, name("team/model"));
    let alice = Table::default().allow("push", "team/**").of("user:alice");
    let bob = Table::default().allow("push", "team/**").of("user:bob");
    let session = registry.start_upload(&alice, &repository, None).await.expect("a session").id;
    registry.upload_status(&alice, &repository, &session).await.expect("hers");
    let others = registry.upload_status(&bob, &repository, &session).await;
    assert!(matches!(others, Err(Error::UploadUnknown(_))));
    assert!(matches!(registry.cancel_upload(&bob, &repository, &session).await, Err(Error::UploadUnknown(_))));
    let elsewhere = registry.upload_status(&alice, &name("team/other"), &session).await;
    assert!(matches!(elsewhere, Err(Error::UploadUnknown(_))));
    let demoted = Table::default().allow("pull", "team/**").of("user:alice");
    assert!(matches!(registry.upload_status(&demoted, &repository, &session).await, Err(Error::Denied)));
}

#[tokio::test]
async fn pushes_make_repositories_only_where_they_should() {
    let within = CreateOnPush::Within(vec!["team/**".parse().expect("a pattern")]);
    for (create_on_push, begins) in [(CreateOnPush::Never, false), (within, true)] {
        let driver = Driver::with(Settings { create_on_push, ..testing::settings() }).await;
        let pushed = blob(&driver, &driver.actor, "team/model", b"bytes").await;
        assert_eq!(pushed.is_ok(), begins, "{pushed:?}");
        let refused = blob(&driver, &driver.actor, "other/model", b"bytes").await;
        assert!(matches!(refused, Err(Error::NotMade(_))), "{refused:?}");
        let mounted = driver.registry.mount(&driver.actor, &name("other/model"), &sha256(b"bytes"), None).await;
        assert!(matches!(mounted, Err(Error::NotMade(_))), "{mounted:?}");
        let tagged = driver.push_manifest("other/model", "1", &image(&[])).await;
        assert!(matches!(tagged, Err(Error::NotMade(_))), "{tagged:?}");
        let made =
            driver.registry.create_repository(&driver.actor, &name("other/model"), RepositoryChange::default()).await;
        made.expect("it is made beforehand");
        blob(&driver, &driver.actor, "other/model", b"bytes").await.expect("it is there now");
    }
}

#[tokio::test]
async fn whoever_may_delete_may_undelete_and_whoever_removed_a_repository_too() {
    let trash_window = std::time::Duration::from_secs(60 * 60);
    let driver = Driver::with(Settings { trash_window, ..testing::settings() }).await;
    let digest = driver.push_image("team/model", "1", &[b"weights"]).await;
    let pusher = Table::default().allow("pull,push", "team/**").of("user:pia");
    let deleter = Table::default().allow("pull,delete", "team/**").of("user:dan");
    let mover = Table::default().allow("tag-move", "team/**").of("user:mia");
    let admin = Table::default().allow("admin", "team/**").of("user:ada");
    let (registry, repository) = (&driver.registry, name("team/model"));
    let (tag, reference): (Tag, _) = ("1".parse().expect("a tag"), Reference::Digest(digest));
    registry.delete_manifest(&deleter, &repository, &reference).await.expect("a delete");
    let undelete = async |actor| registry.undelete(actor, &repository, &Reference::Tag(tag.clone()), None).await;
    for actor in [&pusher, &mover] {
        assert!(matches!(undelete(actor).await, Err(Error::Denied)));
        assert!(matches!(registry.trash(actor, &repository, &everything()).await, Err(Error::Denied)));
    }
    assert_eq!(registry.trash(&deleter, &repository, &everything()).await.expect("listed").items.len(), 1);
    undelete(&deleter).await.expect("an undelete");
    for (actor, may) in [(&pusher, true), (&mover, true), (&deleter, false)] {
        let back = registry.rollback_tag(actor, &repository, &tag, RollbackTo::Changes(2), true).await;
        assert_eq!(matches!(back, Err(Error::Denied)), !may, "{back:?}");
    }
    assert!(
        matches!(registry.purge(&admin, &repository, None).await, Err(Error::Denied)),
        "for administrators of the server"
    );

    let own = Table::default().allow("admin", "team/model").of("user:ada");
    registry.remove_repository(&own, &repository).await.expect("a removal");
    let without = Table::default().of("user:ada");
    assert!(matches!(registry.undelete_repository(&deleter, &repository, None).await, Err(Error::Denied)));
    let elsewhere = name("other/model");
    assert!(matches!(registry.undelete_repository(&without, &repository, Some(&elsewhere)).await, Err(Error::Denied)));
    registry.undelete_repository(&without, &repository, None).await.expect("she removed it");
}
