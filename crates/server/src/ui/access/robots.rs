//! Robots: accounts for machines, with a pattern that their rights never reach beyond.

use askama::Template;
use larder_access::{NewRobotAccount, Page as Listed, Problem, Robot, RobotSettings};
use larder_oci::{Action, Actions};

use super::super::faults::Faults;
use super::super::format::Moment;
use super::super::frame::{self, Frame, person};
use super::super::said::Said;
use super::super::{Result, Visit};
use super::entered::{self, Choice, PAGE};
use crate::form::Form;

const PATH: &str = "/access/robots";

#[derive(Template)]
#[template(path = "access/robots.html")]
struct List {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    rows: Vec<Row>,
    next: Option<String>,
    entered: Entered,
    choices: Vec<Choice>,
}

#[derive(Template)]
#[template(path = "access/robot.html")]
struct One {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    path: String,
    robot: Row,
}

/// What was filled in.
struct Entered {
    name: String,
    pattern: String,
    description: String,
    actions: Actions,
}

struct Row {
    name: String,
    pattern: String,
    description: String,
    disabled: bool,
    created: Moment,
    created_by: String,
    seen: Option<Moment>,
}

fn row(visit: &Visit<'_>, robot: Robot) -> Row {
    let moment = |at| Moment { at, now: visit.now };
    Row {
        name: robot.name,
        pattern: robot.pattern.to_string(),
        description: robot.description,
        disabled: robot.disabled,
        created: moment(robot.created),
        created_by: person(&robot.created_by).to_owned(),
        seen: robot.last_seen.map(moment),
    }
}

pub(super) async fn list(visit: &Visit<'_>) -> Result {
    let actions = Actions::of(&[Action::Pull, Action::Push]);
    let entered = Entered { name: String::new(), pattern: String::new(), description: String::new(), actions };
    listed(visit, entered, Faults::none()).await
}

async fn listed(visit: &Visit<'_>, entered: Entered, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let Listed { items, more } = access.robots(&by, visit.asked("after"), PAGE).await?;
    let next = entered::next(visit, PATH, &[], items.last().filter(|_| more).map(|robot| robot.name.as_str()));
    let rows = items.into_iter().map(|robot| row(visit, robot)).collect();
    let (frame, csrf, choices) = (visit.frame("Robots"), visit.csrf(), entered::choices(entered.actions));
    frame::form(faults.status(), &List { frame, csrf, here: "robots", rows, next, entered, choices, faults })
}

pub(super) async fn make(visit: &Visit<'_>, form: &Form) -> Result {
    let entered = Entered {
        name: form.word("name").to_owned(),
        pattern: form.word("pattern").to_owned(),
        description: form.word("description").to_owned(),
        actions: entered::actions(form),
    };
    let pattern = match entered::pattern(&entered.pattern) {
        Ok(pattern) => pattern,
        Err(fault) => return listed(visit, entered, Faults::at("pattern", fault)).await,
    };
    let (access, by) = visit.accounts()?;
    let (name, description, actions) = (entered.name.clone(), entered.description.clone(), entered.actions);
    match access.add_robot(&by, NewRobotAccount { name, pattern, description, actions }).await {
        Ok(robot) => {
            let tokens = entered::address("/access/tokens", &[("owner", Some(&format!("robot:{}", robot.name)))]);
            let said = Said::of(format!("The robot {} is there. It logs in with a token.", robot.name));
            Ok(visit.went(&format!("{PATH}/{}", robot.name), said.with("Make a token", tokens)))
        }
        Err(problem) => {
            let field = if problem.to_string().contains("description") { "description" } else { "name" };
            listed(visit, entered, entered::at(field, problem)?).await
        }
    }
}

pub(super) async fn show(visit: &Visit<'_>, name: &str) -> Result {
    shown(visit, name, None, Faults::none()).await
}

async fn shown(visit: &Visit<'_>, name: &str, description: Option<String>, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let mut robot = row(visit, access.robot(&by, name).await?);
    robot.description = description.unwrap_or(robot.description);
    let (frame, csrf, path) = (visit.frame(format!("Robot {name}")), visit.csrf(), format!("{PATH}/{name}"));
    frame::form(faults.status(), &One { frame, csrf, here: "robots", path, robot, faults })
}

pub(super) async fn change(visit: &Visit<'_>, name: &str, form: &Form) -> Result {
    let (access, by) = visit.accounts()?;
    let (settings, said) = match form.field("do") {
        "describe" => {
            let description = Some(form.word("description").to_owned());
            (RobotSettings { description, disabled: None }, "The description is changed.")
        }
        "disable" => (
            RobotSettings { description: None, disabled: Some(true) },
            "Disabled: none of its tokens is taken any more.",
        ),
        "enable" => (RobotSettings { description: None, disabled: Some(false) }, "Enabled again."),
        "remove" => {
            if let Err(faults) = entered::confirmed(form, name) {
                return shown(visit, name, None, faults).await;
            }
            access.remove_robot(&by, name).await?;
            return Ok(visit.went(PATH, Said::of(format!("The robot {name} is gone, with its grants and tokens."))));
        }
        _ => return shown(visit, name, None, Faults::whole("Nothing was asked for.")).await,
    };
    let description = settings.description.clone();
    match access.set_robot(&by, name, settings).await {
        Ok(_) => Ok(visit.went(&format!("{PATH}/{name}"), Said::of(said))),
        Err(problem @ Problem::Absent { .. }) => Err(problem.into()),
        Err(problem) => shown(visit, name, description, Faults::of_accounts(problem)?).await,
    }
}
