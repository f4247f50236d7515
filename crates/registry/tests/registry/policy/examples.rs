//! What the rules come to: the published examples, case 7, and what Larder adds.

use larder_registry::policy::{Decision, NearReason, Policy, Stay, TagPattern, evaluate, preview};
use serde_json::{Value, json};

use super::repository::{NOW, Repository, days_ago};

fn rule(priority: i64, tags: Value, count: Value) -> Value {
    let mut selection = tags;
    for (key, value) in count.as_object().expect("an object") {
        selection[key] = value.clone();
    }
    json!({ "rulePriority": priority, "selection": selection, "action": { "type": "expire" } })
}

fn policy(rules: &[Value]) -> String {
    json!({ "rules": rules }).to_string()
}

fn prefixes(list: &[&str]) -> Value {
    json!({ "tagStatus": "tagged", "tagPrefixList": list })
}

fn patterns(list: &[&str]) -> Value {
    json!({ "tagStatus": "tagged", "tagPatternList": list })
}

fn status(status: &str) -> Value {
    json!({ "tagStatus": status })
}

fn more_than(count: u64) -> Value {
    json!({ "countType": "imageCountMoreThan", "countNumber": count })
}

fn days(kind: &str, days: u64) -> Value {
    json!({ "countType": kind, "countUnit": "days", "countNumber": days })
}

fn acting(mut rule: Value, action: &str) -> Value {
    rule["action"] = json!({ "type": action });
    if action == "transition" {
        rule["action"]["targetStorageClass"] = json!("archive");
    }
    rule
}

pub const CASE_7: &str = r#"{"rules":[
    {"rulePriority":1,"description":"Keep last 10 production images",
     "selection":{"tagStatus":"tagged","tagPrefixList":["prod"],"countType":"imageCountMoreThan","countNumber":10},
     "action":{"type":"expire"}},
    {"rulePriority":2,"description":"Delete untagged images after 7 days",
     "selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":7},
     "action":{"type":"expire"}}]}"#;

#[test]
fn case_7() {
    let mut r = Repository::default();
    let prod: Vec<u32> = (1..=12)
        .map(|n| {
            let tag = format!("prod-{n}");
            if n == 1 { r.image(&[&tag, "1.0.0"], 60 - n) } else { r.image(&[&tag], 60 - n) }
        })
        .collect();
    for n in 1..=3 {
        r.image(&[&format!("dev-{n}")], 40);
    }
    let untagged = [r.image(&[], 8), r.image(&[], 8), r.image(&[], 6)];
    let child = r.image(&[], 30);
    let index = r.index(&["multi"], 30, &[child]);

    let evaluation = r.decide(CASE_7);
    let rules = |image: u32| evaluation.decisions[image as usize];
    assert_eq!(r.going(CASE_7), [prod[0], prod[1], untagged[0], untagged[1]]);
    assert_eq!((rules(prod[0]), rules(prod[1])), (Decision::Expires { rule: 0 }, Decision::Expires { rule: 0 }));
    assert_eq!(
        (rules(untagged[0]), rules(untagged[1])),
        (Decision::Expires { rule: 1 }, Decision::Expires { rule: 1 })
    );
    assert_eq!(rules(child), Decision::Stays(Stay::Held { rule: 1, parent: index }));
    assert_eq!(evaluation.order[..2], prod[..2], "the oldest first");

    let policy = Policy::read(CASE_7).expect("it is right");
    let told = preview(&policy, &r.facts, &evaluation, NOW);
    assert_eq!((told.images, told.going.len()), (20, 4));
    let near: Vec<_> = told.near.iter().map(|near| (near.image, near.reason)).collect();
    assert!(near.contains(&(child, NearReason::Held(index))), "{near:?}");
    assert!(near.contains(&(untagged[2], NearReason::At(days_ago(6) + 7 * 86_400_000))), "{near:?}");
    assert!(near.contains(&(prod[2], NearReason::AfterPushes(1))), "{near:?}");
}

#[test]
fn by_age_and_by_count() {
    let mut r = Repository::default();
    let (old, young) = (r.image(&["prod-1"], 15), r.image(&["prod-2"], 14));
    let (bare_old, bare_young) = (r.image(&[], 20), r.image(&[], 1));
    r.image(&["dev"], 90);
    assert_eq!(r.going(&policy(&[rule(1, patterns(&["prod*"]), days("sinceImagePushed", 14))])), [old]);
    assert_eq!(r.going(&policy(&[rule(1, status("untagged"), more_than(1))])), [bare_old]);
    assert_eq!(r.going(&policy(&[rule(1, status("untagged"), more_than(2))])), [] as [u32; 0]);
    assert_eq!(r.going(&policy(&[rule(1, status("any"), more_than(1))])).len(), 4);
    let _ = (young, bare_young);
}

/// Example A and B of the documentation: priorities decide, and what is marked still counts.
#[test]
fn several_rules() {
    let mut r = Repository::default();
    let (a, b) = (r.image(&["beta-1", "prod-1"], 10), r.image(&["beta-2", "prod-2"], 9));
    r.image(&["beta-3"], 8);
    let (prod, beta) = (patterns(&["prod*"]), patterns(&["beta*"]));
    let first = policy(&[rule(1, prod.clone(), more_than(1)), rule(2, beta.clone(), more_than(1))]);
    assert_eq!(r.going(&first), [a]);
    let evaluation = r.decide(&first);
    assert_eq!(evaluation.decisions[b as usize], Decision::Stays(Stay::Claimed { rule: 1, by: 0 }));
    let other = policy(&[rule(1, beta, more_than(1)), rule(2, prod, more_than(1))]);
    assert_eq!(r.going(&other), [a, b]);
}

/// Several entries of a list are one requirement.
#[test]
fn several_tags_in_one_rule() {
    let mut r = Repository::default();
    r.image(&["alpha-1"], 12);
    r.image(&["beta-1"], 11);
    let both = r.image(&["alpha-2", "beta-2"], 10);
    r.image(&["alpha-3"], 4);
    r.image(&["beta-3"], 3);
    r.image(&["alpha-4", "beta-4"], 2);
    for tags in [prefixes(&["alpha", "beta"]), patterns(&["alpha*", "beta*"])] {
        assert_eq!(r.going(&policy(&[rule(1, tags, days("sinceImagePushed", 5))])), [both]);
    }
}

#[test]
fn all_images() {
    let mut r = Repository::default();
    let alpha = r.image(&["alpha-1"], 4);
    let beta = r.image(&["beta-1"], 3);
    let newest_alpha = r.image(&["alpha-2"], 2);
    let commit = r.image(&["git-hash"], 1);
    r.image(&[], 0);
    let rules = [rule(1, prefixes(&["alpha"]), more_than(1)), rule(2, status("any"), more_than(1))];
    assert_eq!(r.going(&policy(&rules)), [alpha, beta, commit]);
    let evaluation = r.decide(&policy(&rules));
    assert_eq!(evaluation.decisions[newest_alpha as usize], Decision::Stays(Stay::Claimed { rule: 1, by: 0 }));
}

#[test]
fn archived_images_are_a_class_of_their_own() {
    let mut r = Repository::default();
    let (unused, used, restored) = (r.image(&["a"], 200), r.image(&["b"], 200), r.image(&["c"], 200));
    let (archived, lately) = (r.image(&["d"], 900), r.image(&["e"], 900));
    r.of(used).pulled = Some(days_ago(3));
    r.of(restored).activated = Some(days_ago(5));
    r.of(archived).archived = Some(days_ago(400));
    r.of(lately).archived = Some(days_ago(300));
    let mut second = rule(2, status("any"), days("sinceImageTransitioned", 365));
    second["selection"]["storageClass"] = json!("archive");
    let rules = [acting(rule(1, status("any"), days("sinceImagePulled", 90)), "transition"), second];
    let evaluation = r.decide(&policy(&rules));
    assert_eq!(evaluation.order, [archived]);
    let would_be_archived: Vec<u32> =
        (0..5_u32).filter(|image| matches!(evaluation.decisions[*image as usize], Decision::Archived { .. })).collect();
    assert_eq!(would_be_archived, [unused], "one was pulled, one restored, and two are there already");
    let counted = policy(&[rule(1, status("any"), more_than(1))]);
    assert_eq!(r.going(&counted), [unused, used], "a restored image is as old as its restoring");
}

#[test]
fn an_image_of_an_index_goes_no_earlier_than_that() {
    let mut r = Repository::default();
    let (amd, arm, old_amd) = (r.image(&[], 30), r.image(&[], 30), r.image(&[], 90));
    let inner = r.index(&[], 30, &[arm]);
    let index = r.index(&["v2"], 30, &[amd, inner]);
    let old = r.index(&["v1"], 90, &[old_amd, amd]);
    let untagged = rule(2, status("untagged"), days("sinceImagePushed", 7));
    assert_eq!(r.going(&policy(std::slice::from_ref(&untagged))), [] as [u32; 0]);
    let rules = [rule(1, prefixes(&["v"]), more_than(1)), untagged.clone()];
    assert_eq!(r.decide(&policy(&rules)).order, [old, old_amd], "what the kept index names stays");
    let all = [rule(1, prefixes(&["v"]), days("sinceImagePushed", 7)), untagged];
    let order = r.decide(&policy(&all)).order;
    let at = |image: u32| order.iter().position(|other| *other == image).expect("it goes");
    assert_eq!(order.len(), 6);
    assert!(at(index) < at(amd) && at(old) < at(amd) && at(index) < at(inner) && at(inner) < at(arm), "{order:?}");
    // Archived is not gone.
    let archiving = [acting(rule(1, prefixes(&["v"]), days("sinceImagePushed", 7)), "transition"), all[1].clone()];
    assert_eq!(r.going(&policy(&archiving)), [] as [u32; 0]);
}

#[test]
fn what_refers_to_an_image_follows_it_and_is_not_counted() {
    let mut r = Repository::default();
    let (old, new) = (r.image(&["v1"], 9), r.image(&["v2"], 8));
    let sbom = r.image(&[], 9);
    let signature_of_sbom = r.image(&[], 9);
    r.of(sbom).subject = Some(old);
    r.of(signature_of_sbom).subject = Some(sbom);
    let hex = |r: &Repository, image: u32| r.digest(image).to_string().replacen(':', "-", 1);
    let cosign = r.image(&[&format!("{}.sig", hex(&r, old))], 9);
    let list = r.image(&[&hex(&r, new)], 8);
    let released = r.image(&["sbom-of-v1"], 9);
    r.of(released).subject = Some(old);
    let stranger = r.image(&[&format!("sha256-{}.sig", "ab".repeat(32))], 99);

    let versions = rule(1, prefixes(&["v"]), more_than(1));
    assert_eq!(r.going(&policy(std::slice::from_ref(&versions))), [old, sbom, signature_of_sbom, cosign]);
    let untagged = rule(2, status("untagged"), days("sinceImagePushed", 1));
    assert_eq!(r.going(&policy(&[untagged])), [] as [u32; 0], "no rule takes a signature alone, nor another's");
    let everything = policy(&[rule(1, status("any"), more_than(2))]);
    assert_eq!(
        r.going(&everything),
        [old, sbom, signature_of_sbom, cosign, stranger],
        "v2, v1 and two others are counted"
    );
    let evaluation = r.decide(&everything);
    assert_eq!(evaluation.decisions[list as usize], Decision::Stays(Stay::WithSubject { subject: new }));
    // A group goes at once.
    let groups: Vec<u32> = evaluation.groups.iter().map(|start| evaluation.order[*start as usize]).collect();
    assert_eq!(groups, [stranger, old]);
}

#[test]
fn tags_that_point_in_a_circle_follow_nothing() {
    let mut r = Repository::default();
    let (one, two) = (r.image(&[], 9), r.image(&[], 9));
    r.of(one).subject = Some(two);
    r.of(two).subject = Some(one);
    let after = r.image(&[], 9);
    r.of(after).subject = Some(one);
    assert_eq!(
        r.going(&policy(&[rule(
            1,
            status("tagged"),
            json!({ "tagPrefixList": ["x"], "countType": "imageCountMoreThan", "countNumber": 1 })
        )])),
        [] as [u32; 0]
    );
    assert_eq!(r.going(&policy(&[rule(1, status("untagged"), days("sinceImagePushed", 1))])), [one, two, after]);
}

#[test]
fn leases_protected_tags_and_keep_come_before_every_rule() {
    let mut r = Repository::default();
    let leased = r.image(&["a"], 90);
    r.of(leased).leased_until = Some(NOW + 1);
    let lapsed = r.image(&["b"], 90);
    r.of(lapsed).leased_until = Some(NOW);
    let (protected, elsewhere) = (r.image(&["c", "prod"], 90), r.image(&["stable-1"], 90));
    let (kept, gone) = (r.image(&["d", "keep-me"], 90), r.image(&["e"], 90));
    let keep = json!({ "rulePriority": 99, "selection": { "tagStatus": "tagged", "tagPatternList": ["keep-*"] }, "action": { "type": "keep" } });
    let rules = [rule(1, status("any"), days("sinceImagePushed", 7)), keep];
    let text = json!({ "rules": rules, "protectedTagPatternList": ["prod"] }).to_string();
    let policy = Policy::read(&text).expect("it is right");
    let inherited = [TagPattern::read("stable*").expect("a pattern")];
    let evaluation = evaluate(&policy, &inherited, &r.facts, NOW);
    let decision = |image: u32| evaluation.decisions[image as usize];
    assert_eq!(decision(leased), Decision::Stays(Stay::Leased { rule: 0, until: NOW + 1 }));
    assert_eq!(decision(protected), Decision::Stays(Stay::Protected { rule: 0 }));
    assert_eq!(decision(elsewhere), Decision::Stays(Stay::Protected { rule: 0 }));
    assert_eq!(decision(kept), Decision::Stays(Stay::Kept { rule: 0, by: 1 }));
    assert_eq!(evaluation.order, if r.digest(lapsed) < r.digest(gone) { [lapsed, gone] } else { [gone, lapsed] });
}

#[test]
fn keep_takes_the_newest_or_what_was_pushed_or_pulled_lately() {
    let mut r = Repository::default();
    let images: Vec<u32> = (1..=5).map(|days| r.image(&[&format!("v{days}")], days * 10)).collect();
    r.of(images[4]).pulled = Some(days_ago(2));
    let all = rule(1, status("any"), days("sinceImagePushed", 1));
    let keeping = |count: Value| policy(&[all.clone(), acting(rule(2, prefixes(&["v"]), count), "keep")]);
    assert_eq!(r.going(&keeping(json!({ "countType": "newestImages", "countNumber": 2 }))), images[2..]);
    assert_eq!(r.going(&keeping(days("pushedWithin", 30))), images[3..]);
    assert_eq!(r.going(&keeping(days("pulledWithin", 2))), images[..4]);
    assert_eq!(r.going(&policy(&[rule(1, status("any"), days("sinceLastPull", 15))])), images[1..4]);
}

#[test]
fn expressions_match_the_whole_tag() {
    let mut r = Repository::default();
    let (one, _) = (r.image(&["v1"], 9), r.image(&["v1-rc", "xv1"], 9));
    let two = r.image(&["v2", "v2-x"], 9);
    let tags = json!({ "tagStatus": "tagged", "tagRegexList": ["v\\d+|w"] });
    assert_eq!(r.going(&policy(&[rule(1, tags, days("sinceImagePushed", 1))])), [one, two]);
}

#[test]
fn a_size_budget_counts_what_is_shared_once_and_an_index_with_its_children() {
    let mut r = Repository::default();
    let base = r.blob(1_000_000);
    let own: Vec<u32> = (0..4).map(|_| r.blob(500_000)).collect();
    let images: Vec<u32> = (0..4).map(|n| r.image(&[&format!("v{n}")], 4 - n)).collect();
    for (image, own) in images.iter().zip(&own) {
        r.layers(*image, &[base, *own]);
    }
    // 1 MB once, and 0.5 MB and a manifest each: three would be over 2.5 MB by their manifests.
    let within = |megabytes: u64| {
        policy(&[rule(
            1,
            status("any"),
            json!({ "countType": "totalSizeMoreThan", "countUnit": "MB", "countNumber": megabytes }),
        )])
    };
    assert_eq!(r.going(&within(2)), images[..3]);
    assert_eq!(r.going(&within(3)), images[..1]);
    assert_eq!(r.going(&within(4)), [] as [u32; 0]);
    let text = within(3);
    let policy = Policy::read(&text).expect("it is right");
    let told = preview(&policy, &r.facts, &r.decide(&text), NOW);
    assert_eq!(told.bytes, 500_100, "the base stays with the others");
    r.facts.blobs[own[0] as usize].elsewhere = true;
    let told = preview(&policy, &r.facts, &r.decide(&text), NOW);
    assert_eq!(told.bytes, 100, "another repository holds the layer");
}

#[test]
fn a_range_selects_versions_and_their_builds() {
    let mut r = Repository::default();
    let old = r.image(&["v1.9", "stable"], 9);
    let build = r.image(&["1.4.2-abc123f"], 8);
    let _kept = (r.image(&["2.0.0"], 9), r.image(&["prod"], 9), r.image(&["1.0.0-rc.1"], 9), r.image(&["2024.1.5"], 9));
    let tags = |range: &str| json!({ "tagStatus": "tagged", "tagVersionRange": range });
    assert_eq!(r.going(&policy(&[rule(1, tags("<2"), days("sinceImagePushed", 1))])), [old, build]);
    let wrong = Policy::read(&policy(&[rule(1, tags("newer"), days("sinceImagePushed", 1))])).expect_err("no range");
    assert_eq!((wrong.0[0].rule, wrong.0[0].field.as_str()), (Some(1), "selection.tagVersionRange"));
    let right = Policy::read(&policy(&[rule(1, tags(">=1 <2"), days("sinceImagePushed", 1))])).expect("it is right");
    assert_eq!(right.own_keys, ["tagVersionRange"]);
}

#[test]
fn the_newest_patches_of_each_minor_release_are_kept_by_version_and_not_by_age() {
    let mut r = Repository::default();
    let first = r.image(&["1.0.0"], 90);
    let (_second, _third) = (r.image(&["1.0.1"], 80), r.image(&["1.0.10"], 70));
    let late = r.image(&["v1.0.0-abc123f"], 5);
    let _other = (r.image(&["1.1.0", "latest"], 60), r.image(&["1.1.0-abc123f"], 60));
    let rest = [r.image(&["1.1.1-rc.1"], 50), r.image(&["main"], 40), r.image(&["1.1"], 30), r.image(&[], 20)];
    let keep = acting(rule(1, status("any"), json!({ "countType": "newestPatches", "countNumber": 2 })), "keep");
    let text = policy(&[keep.clone(), rule(2, status("any"), days("sinceImagePushed", 1))]);
    assert_eq!(r.going(&text), [first, late, rest[0], rest[1], rest[2], rest[3]]);
    let expire = Policy::read(&policy(&[acting(keep, "expire")])).expect_err("it is for keep");
    assert!(expire.to_string().contains("`newestPatches` is for `keep` only"), "{expire}");
}
