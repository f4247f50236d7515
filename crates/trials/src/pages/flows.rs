//! Flows, each as a person would go through it.

use super::browser::Look;
use super::{Case, DARK, DARK_PHONE, Ground, LIGHT, PHONE, access, rules, stock, writing};
use crate::ensure;
use crate::harness::{During, Outcome};
use crate::raw::Payload;
use crate::raw::registry::location;

/// The keys, as WebDriver names them.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

pub fn case(name: impl Into<String>, work: impl Fn(&Ground) -> Outcome + 'static) -> Case {
    (name.into(), Box::new(work))
}

pub(super) fn look_word(look: Look) -> String {
    format!("{}-{}", look.scheme, if look.width < 600 { "phone" } else { "wide" })
}

/// Before the first account: an empty registry, and the first push.
pub fn in_the_open_state() -> Vec<Case> {
    let mut cases = Vec::new();
    for look in [LIGHT, DARK, PHONE, DARK_PHONE] {
        for (page, path, says) in
            [("welcome", "/", "Welcome to your registry"), ("connect", "/connect", "GitHub Actions")]
        {
            let name = format!("{page} ({})", look_word(look));
            cases.push(case(name, move |ground| {
                ground.become_visitor(None, look)?;
                rules::hold(ground, path, look, says, &format!("{page}-{}", look_word(look)))
            }));
        }
    }
    cases.push(case("a command is copied with one click", copying));
    cases.push(case("the first push shows while it arrives", first_push));
    cases
}

/// With accounts: who sees what.
pub fn with_accounts() -> Vec<Case> {
    let pages = [
        ("home", "/", "team/churn"),
        ("search", "/?q=churn", "team/churn"),
        ("repository", "/r/team/churn", "Predicts which customers"),
        ("repository-by-name", "/r/team/churn?sort=name", "1.0.0"),
        ("tag", "/r/team/churn/-/tags/1.1.0", "pip install"),
        ("index", "/r/team/churn/-/tags/2.0.0", "linux/arm64"),
        ("model", "/r/team/models/sentence-encoder/-/tags/1.0", "model.safetensors"),
        ("history", "/r/team/churn/-/tags/prod/history", "Pushed anew"),
        ("compare", "/r/team/churn/-/compare?from=1.0.0&to=prod", "in common"),
        ("operations", "/operations", "Named by manifests"),
        ("connect-as-root", "/connect", "docker login"),
        ("new", "/new", "A place for the versions"),
        ("settings", "/r/team/churn/-/settings", "Delete this repository"),
        ("remove", "/r/team/churn/-/settings/remove", "type its name"),
        ("undelete", "/r/team/churn/-/undelete", "Under the name"),
        ("clean-up", "/r/team/churn/-/clean-up", "What to delete"),
        ("clean-up-preview", "/r/team/churn/-/clean-up?what=tags&tag=1.0.0&tag=2.0.0", "This would go"),
        ("trash", "/r/team/churn/-/trash", "can be brought back"),
        ("policy", "/r/team/churn/-/policy", "Add a rule"),
        ("policy-preview", "/r/team/models/sentence-encoder/-/policy/preview", "would go"),
        ("webhooks", "/r/team/churn/-/webhooks", "Add a webhook"),
        ("absent", "/r/team/absent", "Nothing to see here"),
        ("no-match", "/?q=nothing-like-this", "Nothing matches"),
    ];
    let mut cases = Vec::new();
    for look in [LIGHT, DARK, PHONE, DARK_PHONE] {
        for (page, path, says) in pages {
            let name = format!("{page} ({})", look_word(look));
            cases.push(case(name, move |ground| {
                ground.become_visitor(Some("root"), look)?;
                rules::hold(ground, path, look, says, &format!("{page}-{}", look_word(look)))
            }));
        }
    }
    cases.push(case("a developer goes from the list to what a layer holds", developer));
    cases.push(case("a reader sees what was granted and no more", reader));
    cases.push(case("a stranger sees what is public", stranger));
    cases.push(case("everything is reached by the keyboard", keyboard));
    cases.push(case("nothing needs script", without_script));
    cases.extend(writing::cases());
    cases.extend(access::cases());
    cases
}

fn copying(ground: &Ground) -> Outcome {
    ground.become_visitor(None, LIGHT)?;
    ground.open("/connect")?;
    ground.browser.click("button.copy")?;
    ground.browser.wait_for("Copied")
}

/// The page of an empty registry is open while somebody pushes; nobody reloads it.
fn first_push(ground: &Ground) -> Outcome {
    ground.become_visitor(None, LIGHT)?;
    ground.open("/")?;
    ground.browser.wait_for("Nothing at the moment")?;
    let mut client = ground.larder.client();
    let session = client.start_upload("team/first")?;
    let session = location(&session).during(|| "no session was opened".to_owned())?;
    client.patch(&session, None, Payload::Bytes(b"the first bytes"))?;
    ground.browser.wait_for("team/first")?;
    ground.picture("arriving-light-wide")?;
    stock::fill(&mut client)?;
    // The list that comes then is not a live one: it shows what was there when it came.
    ground.browser.wait_for("team/churn")
}

fn developer(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("dev"), LIGHT)?;
    let browser = &ground.browser;
    ground.open("/")?;
    ensure!(!browser.text()?.contains("finance/fraud"), "dev sees another team's repository");
    browser.click("a[href='/r/team/churn']")?;
    browser.wait_for("Push to this repository")?;
    browser.click("a.tag[href$='/tags/prod']")?;
    browser.wait_for("RUN pip install")?;
    browser.click("details.veil summary")?;
    browser.wait_for("hf_notarealtoken")?;
    browser.type_into("#from", "1.0.0")?;
    browser.click(".actions button")?;
    browser.wait_for("in common")?;
    browser.wait_for("MODEL_VERSION")?;
    ground.open("/r/team/churn/-/tags/prod")?;
    browser.click("a[href$='/history']")?;
    browser.wait_for("First push")?;
    browser.click("a[href*='/-/compare?']")?;
    browser.wait_for("in common")
}

fn reader(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("reader"), LIGHT)?;
    let browser = &ground.browser;
    ground.open("/")?;
    browser.wait_for("team/churn")?;
    let page = browser.text()?;
    ensure!(!page.contains("finance/fraud") && !page.contains("sentence-encoder"), "reader sees {page}");
    ground.open("/r/team/churn")?;
    ensure!(!browser.text()?.contains("Push to this repository"), "reader is told how to push");
    ensure!(!browser.text()?.contains("Clean up"), "reader is offered what he may not do");
    for path in
        ["/r/finance/fraud", "/r/finance/absent", "/operations", "/r/team/churn/-/settings", "/r/team/churn/-/trash"]
    {
        ground.open(path)?;
        browser.wait_for("Nothing to see here")?;
    }
    Ok(())
}

fn stranger(ground: &Ground) -> Outcome {
    ground.become_visitor(None, PHONE)?;
    let browser = &ground.browser;
    ground.open("/")?;
    browser.wait_for("open/base")?;
    ensure!(!browser.text()?.contains("team/"), "a stranger sees what is private");
    browser.click("a[href='/r/open/base']")?;
    browser.wait_for("The base image of all teams")?;
    ground.open("/r/team/churn")?;
    browser.wait_for("You are not signed in")
}

fn keyboard(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("root"), LIGHT)?;
    let browser = &ground.browser;
    ground.open("/r/team/churn/-/tags/1.1.0")?;
    browser.press(TAB)?;
    let skip = browser.run("return document.activeElement.className")?;
    ensure!(skip == "skip", "the first stop is {skip}");
    browser.press(ENTER)?;
    let main = browser.run("return document.activeElement.id")?;
    ensure!(main == "main", "the content is skipped to {main}");
    // Each stop can be seen, and no link or control is left out.
    let wanted = browser.run(
        "return [...document.querySelectorAll('main :is(a[href], button, input:not([type=hidden]), select, summary, pre[tabindex])')]
             .filter(element => element.checkVisibility()).length",
    )?;
    let wanted = wanted.as_u64().unwrap_or_default();
    for stop in 0..wanted {
        browser.press(TAB)?;
        let seen = browser.run(
            "const element = document.activeElement, box = element.getBoundingClientRect(), style = getComputedStyle(element);
             return element.closest('main') !== null && box.width > 0 && box.bottom > 0 && box.top < innerHeight && style.outlineStyle !== 'none'",
        )?;
        ensure!(
            seen == true,
            "stop {stop} of {wanted} cannot be seen: {}",
            browser.run("return document.activeElement.outerHTML.slice(0, 200)")?
        );
    }
    ground.open("/")?;
    browser.type_into("#q", "encoder\u{e007}")?;
    browser.wait_for("team/models/sentence-encoder")?;
    ensure!(!browser.text()?.contains("team/churn"), "the search found too much");
    Ok(())
}

fn without_script(ground: &Ground) -> Outcome {
    ground.become_visitor(Some("root"), LIGHT)?;
    let browser = &ground.browser;
    browser.let_script_run(false)?;
    let outcome = (|| {
        ground.open("/")?;
        browser.type_into("#q", "churn")?;
        browser.click(".find button")?;
        browser.wait_for("What fits")?;
        browser.click("a[href='/r/team/churn']")?;
        browser.wait_for("Predicts which customers")?;
        browser.click("details.pull summary")?;
        browser.wait_for("docker pull localhost")?;
        ensure!(!browser.text()?.contains("Copy"), "a button is there that does nothing");
        browser.click("a.tag[href$='/tags/1.1.0']")?;
        browser.wait_for("RUN pip install")?;
        ground.open("/operations")?;
        browser.wait_for("Named by manifests")
    })();
    browser.let_script_run(true)?;
    outcome
}
