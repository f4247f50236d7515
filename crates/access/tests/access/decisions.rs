//! Who may what: every cell of identities × actions × visibility × grants, against a table written by hand.

use larder_access::{Facts, Limit, Rights, Rule, Verdict};
use larder_oci::{Action, Actions, RepositoryName, RepositoryPattern};

fn pattern(text: &str) -> RepositoryPattern {
    text.parse().unwrap()
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn rule(effect: &str, actions: &str, pattern_text: &str) -> Rule {
    let deny = effect == "deny";
    Rule {
        deny,
        actions: actions.parse().unwrap(),
        pattern: pattern(pattern_text),
        source: format!("{effect} {actions}"),
    }
}

fn limit(actions: &str, patterns: &[&str]) -> Limit {
    let patterns = patterns.iter().map(|text| pattern(text)).collect();
    Limit { actions: actions.parse().unwrap(), patterns, source: "token t".to_owned(), of_token: true }
}

/// The identities of the table.
const IDENTITIES: [&str; 7] = ["anonymous", "user", "owner", "administrator", "token", "pull-token", "other-token"];

/// The facts of an identity that has this grant on the repository `team/model`.
fn facts(identity: &str, grant: &str) -> Facts {
    let grant = match grant {
        "none" => None,
        "deny" => Some(rule("deny", "pull,push,delete,tag-move,admin", "team/**")),
        "deny-push" => Some(rule("deny", "push", "team/**")),
        allowed => Some(rule("allow", allowed, "team/**")),
    };
    let mut facts = Facts { rules: grant.into_iter().collect(), ..Facts::default() };
    match identity {
        "anonymous" | "user" => {}
        // The name is in his own namespace.
        "owner" => facts.rules.push(rule("allow", "admin", "team/**")),
        "administrator" => facts.administrator = true,
        // Tokens of the owner, so that only their limits can stop them.
        "token" => {
            facts.rules.push(rule("allow", "admin", "team/**"));
            facts.limits.push(limit("pull,push", &["team/*"]));
        }
        "pull-token" => {
            facts.rules.push(rule("allow", "admin", "team/**"));
            facts.limits.push(limit("pull", &["**"]));
        }
        "other-token" => {
            facts.rules.push(rule("allow", "admin", "team/**"));
            facts.limits.push(limit("admin", &["other/**"]));
        }
        other => panic!("{other}"),
    }
    facts
}

/// Per grant and identity (in the order above): the actions that are permitted on the private and, after a slash, on the public repository.
/// The letters are pull, push (u), delete, tag-move, admin.
const TABLE: &[(&str, [&str; 7])] = &[
    // anonymous    user        owner          administrator  token          pull-token  other-token
    ("none", ["-/p", "-/p", "pudta/pudta", "pudta/pudta", "pu/pu", "p/p", "-/p"]),
    ("pull", ["p/p", "p/p", "pudta/pudta", "pudta/pudta", "pu/pu", "p/p", "-/p"]),
    ("push", ["u/pu", "u/pu", "pudta/pudta", "pudta/pudta", "pu/pu", "p/p", "-/p"]),
    ("delete", ["d/pd", "d/pd", "pudta/pudta", "pudta/pudta", "pu/pu", "p/p", "-/p"]),
    ("tag-move", ["t/pt", "t/pt", "pudta/pudta", "pudta/pudta", "pu/pu", "p/p", "-/p"]),
    ("admin", ["pudta/pudta", "pudta/pudta", "pudta/pudta", "pudta/pudta", "pu/pu", "p/p", "-/p"]),
    ("pull,push", ["pu/pu", "pu/pu", "pudta/pudta", "pudta/pudta", "pu/pu", "p/p", "-/p"]),
    ("deny-push", ["-/p", "-/p", "pdta/pdta", "pdta/pdta", "p/p", "p/p", "-/p"]),
    ("deny", ["-/-", "-/-", "-/-", "-/-", "-/-", "-/-", "-/-"]),
];

fn letter(action: Action) -> char {
    match action {
        Action::Pull => 'p',
        Action::Push => 'u',
        Action::Delete => 'd',
        Action::TagMove => 't',
        Action::Admin => 'a',
    }
}

#[test]
fn every_cell_is_as_the_table_says() {
    let repository = name("team/model");
    let mut cells = 0;
    for (grant, row) in TABLE {
        for (identity, cell) in IDENTITIES.iter().zip(row) {
            let rights = Rights::compile(facts(identity, grant));
            let (private, public) = cell.split_once('/').unwrap();
            for (visibility, permitted) in [(false, private), (true, public)] {
                for action in Action::ALL {
                    let expected = permitted.contains(letter(action));
                    let decided = rights.verdict(action, &repository).permits(action, visibility);
                    assert_eq!(decided, expected, "{identity} with {grant}, public {visibility}: {action}");
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 9 * 7 * 2 * 5);
}

#[test]
fn elsewhere_the_grant_says_nothing() {
    for (grant, _) in TABLE {
        for identity in IDENTITIES {
            let rights = Rights::compile(facts(identity, grant));
            for elsewhere in ["team", "teams/model", "other/model", "model"] {
                for action in Action::ALL {
                    let verdict = rights.verdict(action, &name(elsewhere));
                    let expected = if identity == "administrator" { Verdict::Allowed } else { Verdict::Silent };
                    assert_eq!(verdict, expected, "{identity} with {grant}: {action} on {elsewhere}");
                }
            }
        }
    }
}

#[test]
fn the_explanation_agrees_with_the_verdict() {
    use larder_access::ReasonEffect::{Allows, Denies, Limits};
    let repository = name("team/model");
    for (grant, _) in TABLE {
        for identity in IDENTITIES {
            let rights = Rights::compile(facts(identity, grant));
            for action in Action::ALL {
                let reasons = rights.explain(action, &repository);
                let first = reasons.first().map(|reason| reason.effect);
                let expected = match rights.verdict(action, &repository) {
                    Verdict::Allowed => [Some(Allows)].as_slice(),
                    Verdict::Denied => &[Some(Denies)],
                    Verdict::Silent => &[None, Some(Limits)],
                };
                assert!(expected.contains(&first), "{identity} with {grant}: {action}: {reasons:?}");
            }
        }
    }
}

#[test]
fn what_is_visible_is_what_may_be_pulled() {
    let names = ["team/model", "team/a/b", "team", "other/x", "public/y", "team/public-z"].map(name);
    for (grant, _) in TABLE {
        for identity in IDENTITIES {
            let rights = Rights::compile(facts(identity, grant));
            let visible = rights.visible();
            for repository in &names {
                let listed = visible.allow.iter().any(|pattern| pattern.matches(repository))
                    && !visible.deny.iter().any(|pattern| pattern.matches(repository));
                let verdict = rights.verdict(Action::Pull, repository);
                assert_eq!(listed, verdict == Verdict::Allowed, "{identity} with {grant}: {repository}");
            }
        }
    }
}

#[test]
fn a_cut_down_administrator_administers_no_accounts() {
    let administrator = |limits| Rights::compile(Facts { administrator: true, rules: Vec::new(), limits });
    assert!(administrator(Vec::new()).administrator());
    assert!(administrator(vec![limit("admin", &["**"])]).administrator());
    assert!(!administrator(vec![limit("admin", &["team/**"])]).administrator());
    assert!(!administrator(vec![limit("pull,push,delete,tag-move", &["**"])]).administrator());
    assert!(!administrator(vec![limit("admin", &["**"]), limit("pull", &["**"])]).administrator());
}

#[test]
fn who_administers_a_pattern_administers_all_of_it() {
    let rights = Rights::compile(Facts {
        rules: vec![
            rule("allow", "admin", "team/**"),
            rule("allow", "pull,push", "**"),
            rule("deny", "admin", "team/prod/**"),
        ],
        ..Facts::default()
    });
    let administers = |text: &str| rights.administers(&pattern(text));
    assert!(administers("team/a") && administers("team/dev/**") && administers("team/x*"));
    for refused in ["team", "**", "team/**", "team/prod/a", "team/p*/a", "other/a", "*/a"] {
        assert!(!administers(refused), "{refused}");
    }
    let limited = Rights::compile(Facts {
        rules: vec![rule("allow", "admin", "team/**")],
        limits: vec![limit("admin", &["team/dev/**"])],
        ..Facts::default()
    });
    assert!(limited.administers(&pattern("team/dev/x")) && !limited.administers(&pattern("team/x")));
}

#[test]
fn ten_thousand_literal_rules_are_asked_as_quickly_as_one() {
    let rules = (0..10_000).map(|n| rule("allow", "admin", &format!("team/model-{n}"))).collect();
    let rights = Rights::compile(Facts { rules, ..Facts::default() });
    let started = std::time::Instant::now();
    for n in 0..20_000 {
        let verdict = rights.verdict(Action::Push, &name(&format!("team/model-{n}")));
        assert_eq!(verdict == Verdict::Allowed, n < 10_000);
    }
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    assert_eq!(rights.allowed(&name("team/model-5")), Actions::ALL);
}
