//! Accounts and access, as an administrator, and as whoever was let in.

use super::{Case, DARK, DARK_PHONE, Ground, LIGHT, PHONE, flows, rules, stock};
use crate::ensure;
use crate::harness::{During, Outcome};

/// Every page about accounts, held against the rules, and the flows through them.
pub fn cases() -> Vec<Case> {
    let pages = [
        ("access-users", "/access/users", "Add a user"),
        ("access-user", "/access/users/dev", "Make an invitation link"),
        ("access-groups", "/access/groups", "Add a group"),
        ("access-robots", "/access/robots", "Add a robot"),
        ("access-grants", "/access/grants", "user:dev"),
        ("access-explain", "/access/explain?identity=dev&repository=team/churn", "allowed by grant"),
        ("access-tokens", "/access/tokens", "Tokens"),
        ("access-trusts", "/access/trusts", "Add a trust"),
        ("access-sessions", "/access/sessions?identity=dev", "Sessions of dev"),
        ("access-audit", "/access/audit", "user.created"),
        ("account", "/account", "Signed in as"),
        ("account-password", "/account/password", "New password again"),
        ("account-tokens", "/account/tokens", "Make a token"),
        ("account-devices", "/account/devices", "Signed-in devices"),
        ("found", "/?q=1.0.0", "team/churn:1.0.0"),
    ];
    let mut cases = Vec::new();
    for look in [LIGHT, DARK, PHONE, DARK_PHONE] {
        for (page, path, says) in pages {
            cases.push(flows::case(format!("{page} ({})", flows::look_word(look)), move |ground| {
                ground.become_visitor(Some("root"), look)?;
                rules::hold(ground, path, look, says, &format!("{page}-{}", flows::look_word(look)))
            }));
        }
    }
    cases.push(flows::case("an administrator lets somebody in, who then pulls and is shut out again", letting_in));
    cases.push(flows::case("a developer makes a token, sees it once, and revokes it", own_token));
    cases.push(flows::case("a group is made without script", without_script));
    cases
}

/// Signs in as a person does.
fn sign_in(ground: &Ground, name: &str) -> Outcome {
    ground.become_visitor(None, LIGHT)?;
    ground.open("/login?next=/account")?;
    let browser = &ground.browser;
    browser.type_into("input[name=user]", name)?;
    browser.type_into("input[name=password]", &stock::password(name))?;
    browser.click("main form button")?;
    browser.wait_for("Signed in as")
}

fn letting_in(ground: &Ground) -> Outcome {
    let browser = &ground.browser;
    sign_in(ground, "root")?;
    browser.click("a[href='/access/users']")?;
    browser.type_into("#name", "Eve!")?;
    browser.click("form[action='/access/users'] button.primary")?;
    browser.wait_for("See below what to mend")?;
    ground.picture("access-fault-light-wide")?;
    let kept = browser.run("return document.querySelector('#name').value")?;
    ensure!(kept == "Eve!", "the name became {kept}");
    browser.run("document.querySelector('#name').value = ''")?;
    browser.type_into("#name", "eve")?;
    browser.click("form[action='/access/users'] button.primary")?;
    browser.wait_for("Pass this link on")?;
    ground.picture("access-invited-light-wide")?;
    let link = browser.run("return document.querySelector('.once code').textContent")?;
    let link = link.as_str().during(|| "no link is shown".to_owned())?.to_owned();
    ground.open("/access/grants")?;
    browser.type_into("#subject", "eve")?;
    browser.type_into("#pattern", "team/churn")?;
    browser.click("form[action='/access/grants'] button.primary")?;
    browser.wait_for("user:eve has a grant on team/churn")?;

    ground.become_visitor(None, PHONE)?;
    browser.open(&link)?;
    browser.type_into("input[name=password]", &stock::password("eve"))?;
    browser.click("main form button")?;
    browser.wait_for("Signed in as eve")?;
    ground.open("/")?;
    browser.wait_for("team/churn")?;
    ensure!(!browser.text()?.contains("Access"), "eve is shown the administrators' pages");
    ground.open("/access/users")?;
    browser.wait_for("Nothing to see here")?;

    sign_in(ground, "root")?;
    ground.open("/access/users/eve")?;
    browser.click("button[value=disable]")?;
    browser.wait_for("nothing that was issued to this account holds any more")?;
    ground.open("/access/audit?identity=root&action=user")?;
    browser.wait_for("eve")?;
    ground.open("/access/users/eve")?;
    browser.click("details.remove summary")?;
    browser.type_into("#confirm", "eve")?;
    browser.click("button[class=danger]:not([value])")?;
    browser.wait_for("eve has no account any more")
}

fn own_token(ground: &Ground) -> Outcome {
    let browser = &ground.browser;
    sign_in(ground, "dev")?;
    browser.click("nav.tabs a[href='/account/tokens']")?;
    browser.type_into("#name", "laptop")?;
    browser.click("form[action='/account/tokens'] button.primary")?;
    browser.wait_for("The new token")?;
    browser.wait_for("ldr_")?;
    ground.picture("account-token-light-wide")?;
    browser.click("nav.tabs a[href='/account/tokens']")?;
    browser.wait_for("laptop")?;
    ensure!(!browser.text()?.contains("ldr_"), "the token is shown again");
    browser.click("button[value=revoke]")?;
    browser.wait_for("Revoked")?;
    browser.click("nav.tabs a[href='/account/devices']")?;
    browser.wait_for("This one")?;
    ground.open("/account")?;
    browser.click("form[action='/logout'] button")?;
    browser.wait_for("Sign in")
}

fn without_script(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("root"), LIGHT)?;
    let browser = &ground.browser;
    browser.let_script_run(false)?;
    let outcome = (|| {
        ground.open("/access/groups")?;
        browser.type_into("#name", "ml")?;
        browser.click("form[action='/access/groups'] button.primary")?;
        browser.wait_for("The group ml is there")?;
        browser.type_into("#member", "dev")?;
        browser.click("form[action='/access/groups/ml'] button.primary")?;
        browser.wait_for("dev is in ml now")
    })();
    browser.let_script_run(true)?;
    outcome
}
