//! Actions and sets of them.

use larder_oci::{Action, Actions, ParseError};

#[test]
fn an_action_is_its_word() {
    for action in Action::ALL {
        assert_eq!(action.to_string().parse(), Ok(action));
        assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{action}\""));
    }
    assert_eq!("Pull".parse::<Action>(), Err(ParseError::Action("Pull".to_owned())));
    assert_eq!("tag_move".parse::<Action>(), Err(ParseError::Action("tag_move".to_owned())));
}

#[test]
fn a_set_is_written_in_order_and_read_in_any() {
    let set: Actions = "push, pull,push".parse().unwrap();
    assert_eq!(set, Actions::of(&[Action::Pull, Action::Push]));
    assert_eq!(set.to_string(), "pull,push");
    assert_eq!("".parse(), Ok(Actions::EMPTY));
    assert_eq!(Actions::EMPTY.to_string(), "");
    assert_eq!(Actions::ALL.to_string(), "pull,push,delete,tag-move,admin");
    assert_eq!(serde_json::from_str::<Actions>("\"delete\"").unwrap(), Actions::of(&[Action::Delete]));
    assert!("pull,,push".parse::<Actions>().is_err());
    assert!("*".parse::<Actions>().is_err());
}

#[test]
fn only_admin_implies_more_than_itself() {
    for held in Action::ALL {
        for asked in Action::ALL {
            let implied = Actions::of(&[held]).implies(asked);
            assert_eq!(implied, held == asked || held == Action::Admin, "{held} for {asked}");
        }
    }
    assert_eq!(Actions::of(&[Action::Admin]).expanded(), Actions::ALL);
    assert_eq!(Actions::of(&[Action::Push]).expanded(), Actions::of(&[Action::Push]));
}

#[test]
fn sets_unite_and_intersect() {
    let (left, right) = (Actions::of(&[Action::Pull, Action::Push]), Actions::of(&[Action::Push, Action::Delete]));
    assert_eq!(left.intersect(right), Actions::of(&[Action::Push]));
    assert_eq!(left.union(right), Actions::of(&[Action::Pull, Action::Push, Action::Delete]));
    assert!(left.intersect(Actions::of(&[Action::Admin])).is_empty());
    assert_eq!(left.with(Action::Admin).iter().count(), 3);
    assert_eq!(left.iter().collect::<Actions>(), left);
}
