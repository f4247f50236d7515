//! Flows that change something, as a person goes through them.

use super::flows::case;
use super::{Case, DARK, Ground, LIGHT, PHONE, stock};
use crate::ensure;
use crate::harness::Outcome;

/// They come last: each leaves the registry as it found it, or uses a repository of its own.
pub fn cases() -> Vec<Case> {
    vec![
        case("somebody signs in, makes a repository, describes it, deletes it and brings it back", a_repository),
        case("tags are cleaned up by hand and brought back, on a phone and without script", cleaning_up),
        case("a tag goes back from its history", going_back),
        case("a policy is written with the form, tried, set, applied and removed", a_policy),
        case("a webhook is made, and its secret is shown once", a_webhook),
        case("the operator sweeps and has everything read back", upkeep),
        case("a form of somebody else changes nothing", another_form),
    ]
}

fn sign_in(ground: &Ground, who: &str) -> Outcome {
    let browser = &ground.browser;
    ground.open("/login")?;
    browser.type_into("#user", who)?;
    browser.type_into("#password", &stock::password(who))?;
    ground.picture("sign-in-light-wide")?;
    browser.click("main button")?;
    browser.wait_for("Signed in as")
}

fn a_repository(ground: &Ground) -> Outcome {
    ground.become_visitor(None, LIGHT)?;
    let browser = &ground.browser;
    sign_in(ground, "dev")?;
    ground.open("/")?;
    browser.click("a[href='/new']")?;
    browser.wait_for("Names that begin with dev/ are yours")?;
    browser.type_into("#name", "Forecast")?;
    browser.type_into("#description", "Weekly **forecast**")?;
    browser.click("#public")?;
    browser.click("main button.primary")?;
    browser.wait_for("A name has parts between slashes")?;
    ground.picture("new-fault-light-wide")?;
    let kept = browser
        .run("return [document.querySelector('#description').value, document.querySelector('#public').checked]")?;
    ensure!(kept[0] == "Weekly **forecast**" && kept[1] == true, "the form has lost {kept}");
    browser.write_into("#name", "dev/forecast")?;
    browser.click("main button.primary")?;
    browser.wait_for("dev/forecast is there. Push to it now.")?;
    browser.wait_for("docker push localhost")?;
    ground.picture("made-light-wide")?;
    browser.click("a[href$='/-/settings']")?;
    browser.click("#private")?;
    browser.click("main button.primary")?;
    browser.wait_for("Saved.")?;
    browser.click("a.danger")?;
    browser.type_into("#confirm", "dev/other")?;
    browser.click("main button.danger")?;
    browser.wait_for("Type dev/forecast to delete it")?;
    browser.write_into("#confirm", "dev/forecast")?;
    browser.click("main button.danger")?;
    browser.wait_for("dev/forecast is deleted.")?;
    browser.click(".said a")?;
    browser.click("main button.primary")?;
    browser.wait_for("dev/forecast is back.")
}

fn cleaning_up(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("root"), PHONE)?;
    let browser = &ground.browser;
    browser.let_script_run(false)?;
    let outcome = (|| {
        ground.open("/r/team/churn/-/clean-up")?;
        browser.click("input[value='1.0.0']")?;
        browser.click("input[value='1.0.1']")?;
        browser.click(".pick button.primary")?;
        browser.wait_for("This would go: 2 images")?;
        ground.picture("cleaning-up-light-phone")?;
        browser.click("button.danger")?;
        browser.wait_for("Deleted: 2 images.")?;
        ground.picture("undo-light-phone")?;
        browser.click("main button.primary")?;
        browser.wait_for("Back again: 2 images.")?;
        ground.open("/r/team/churn?sort=name")?;
        browser.wait_for("1.0.1")
    })();
    browser.let_script_run(true)?;
    outcome
}

fn going_back(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("dev"), DARK)?;
    let browser = &ground.browser;
    ground.open("/r/team/churn/-/tags/prod/history")?;
    browser.wait_for("Pushed anew")?;
    for _ in 0..2 {
        browser.click("form[method=post] button")?;
        browser.wait_for("prod points to")?;
    }
    ground.picture("went-back-dark-wide")?;
    browser.wait_for("Rolled back")
}

fn a_policy(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("root"), LIGHT)?;
    let browser = &ground.browser;
    ground.open("/r/team/churn/-/policy")?;
    browser.wait_for("No rule yet")?;
    browser.type_into("#number", "1")?;
    browser.run("document.querySelector('#which').value = 'any'; document.querySelector('#until').value = 'newest'")?;
    browser.click(".panel button[value=add]")?;
    browser.wait_for("Delete all images, but for the 1 newest")?;
    browser.click("button[value=try]")?;
    browser.wait_for("It was tried, not set.")?;
    ground.picture("tried-light-wide")?;
    browser.click("button[value=set]")?;
    browser.wait_for("The policy is set.")?;
    browser.write_into("#text", "{\"rules\": [{\"rulePriority\": 0}]}")?;
    browser.click("button[value=set]")?;
    browser.wait_for("The policy was not set.")?;
    ground.picture("policy-fault-light-wide")?;
    ground.open("/r/team/churn/-/policy/preview")?;
    browser.wait_for("would go")?;
    ground.picture("previewed-light-wide")?;
    browser.click("main button.danger")?;
    browser.wait_for("gone,")?;
    browser.wait_for("by rule 1")?;
    browser.click("button[value=remove]")?;
    browser.wait_for("The policy is removed.")?;
    // What it took comes back.
    loop {
        ground.open("/r/team/churn/-/trash")?;
        browser.wait_for("Trash")?;
        if browser.text()?.contains("Nothing here") {
            return Ok(());
        }
        ground.picture("trash-full-light-wide")?;
        browser.click(".do button")?;
        browser.wait_for("is back")?;
    }
}

fn a_webhook(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("root"), LIGHT)?;
    let browser = &ground.browser;
    ground.open("/r/open/base/-/webhooks")?;
    browser.type_into("#hook-name", "chat")?;
    browser.type_into("#url", "https://chat.example/hook")?;
    browser.click("main .form button.primary")?;
    browser.wait_for("nobody can read it again")?;
    ground.picture("webhook-made-light-wide")?;
    ground.open("/r/open/base/-/webhooks")?;
    ensure!(!browser.text()?.contains("nobody can read it again"), "the secret is shown again");
    browser.click("button[aria-label='Remove chat']")?;
    browser.wait_for("chat is removed")
}

fn upkeep(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("root"), LIGHT)?;
    let browser = &ground.browser;
    ground.open("/operations")?;
    browser.click("form:has([value=sweep]) button")?;
    browser.wait_for("Swept: ")?;
    browser.click("form:has([value=scrub]) button")?;
    browser.wait_for("A pass begins within a minute")?;
    ground.picture("asked-light-wide")
}

/// The form of an earlier visitor, sent by the next one in the same window.
fn another_form(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("root"), LIGHT)?;
    let browser = &ground.browser;
    ground.open("/new")?;
    browser.type_into("#name", "team/forged")?;
    browser.become_visitor(LIGHT, None)?;
    browser.click("main button.primary")?;
    browser.wait_for("This form is not valid any more")?;
    ground.picture("not-ours-light-wide")?;
    ground.become_visitor(Some("root"), LIGHT)?;
    ground.open("/r/team/forged")?;
    browser.wait_for("Nothing to see here")
}
