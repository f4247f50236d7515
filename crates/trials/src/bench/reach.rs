//! What the figures of a run are held to: the limits of this project, computed from the same run.

use std::fmt::Write as _;

use super::blobs::{HASH_ALONE, RECEIVE_ALONE};
use super::collection::{P99, P99_SWEEPING, SWEPT_SMALL};
use super::logins;
use super::sheet::Sheet;

const LARDER: &str = "Larder";
const LIMIT: &str = "limit";
const NGINX: [&str; 2] = ["nginx (sendfile)", "nginx (buffers)"];

/// A figure beside its limit.
#[derive(Debug, PartialEq)]
pub struct Reached {
    what: String,
    figure: f64,
    limit: f64,
}

impl Reached {
    /// Whether the figure is within its limit.
    pub fn holds(&self) -> bool {
        self.figure <= self.limit
    }
}

/// All that the run has the figures for.
pub fn reached(sheet: &Sheet) -> Vec<Reached> {
    let larder = |row: &str| sheet.median(row, LARDER);
    let mut all = Vec::new();
    let mut add = |what: String, figure: Option<f64>, by: Option<f64>, limit: f64| {
        if let (Some(figure), Some(by)) = (figure, by)
            && by > 0.0
        {
            all.push(Reached { what, figure: figure / by, limit });
        }
    };
    for connections in [1, 4, 16] {
        let (push, pull) = (
            format!("push, {connections} connections, CPU-s/GiB"),
            format!("pull, {connections} connections, CPU-s/GiB"),
        );
        let hash = sheet.median(HASH_ALONE, LIMIT);
        let both = hash.and_then(|hash| Some(hash + sheet.median(RECEIVE_ALONE, LIMIT)?));
        add(format!("{push}: times SHA-256 alone"), larder(&push), hash, 2.0);
        add(format!("{push}: times SHA-256 and receiving and writing alone"), larder(&push), both, 1.3);
        let nginx = NGINX.iter().filter_map(|server| sheet.median(&pull, server)).min_by(f64::total_cmp);
        add(format!("{pull}: times the better nginx"), larder(&pull), nginx, 1.5);
    }
    let commit = |mebibytes: u32| larder(&format!("last byte to 201, {mebibytes} MiB, ms"));
    add("last byte to 201: 4 GiB in times of 64 MiB".to_owned(), commit(4096), commit(64), 2.0);
    let memory = "memory (RssAnon) at 64 pushes of 256 MiB, MiB";
    add(
        "removed in a collection: 2,000 blobs of 64 KiB a second in times of the rate".to_owned(),
        Some(2_000.0),
        larder(SWEPT_SMALL),
        1.0,
    );
    for (idle, sweeping) in P99.into_iter().zip(P99_SWEEPING) {
        let most = larder(idle).map(|idle| (2.0 * idle).max(idle + 3.0));
        add(format!("{sweeping}: in times of max(2 x idle, idle + 3 ms)"), larder(sweeping), most, 1.0);
    }
    add(memory.to_owned(), larder(memory), Some(1.0), 256.0);
    if let (Some(idle), Some(beside)) = (larder(logins::IDLE), larder(logins::BESIDE)) {
        let limit = (logins::limit(idle) * 100.0).round() / 100.0;
        all.push(Reached { what: logins::BESIDE.to_owned(), figure: beside, limit });
    }
    all
}

/// The limits as a table.
pub fn markdown(reached: &[Reached]) -> String {
    let mut text = "| what | figure | limit | |\n|---|---|---|---|\n".to_owned();
    for row in reached {
        let verdict = if row.holds() { "within" } else { "**missed**" };
        let _ = writeln!(text, "| {} | {:.2} | {} | {verdict} |", row.what, row.figure, row.limit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sheet::Better::Less;
    use super::*;

    #[test]
    fn a_figure_is_held_to_the_limits_of_its_own_run() {
        let mut sheet = Sheet::default();
        sheet.note(HASH_ALONE, Less, LIMIT, 0.5);
        sheet.note(RECEIVE_ALONE, Less, LIMIT, 0.5);
        sheet.note("push, 1 connections, CPU-s/GiB", Less, LARDER, 1.2);
        sheet.note("pull, 4 connections, CPU-s/GiB", Less, LARDER, 0.3);
        sheet.note("pull, 4 connections, CPU-s/GiB", Less, NGINX[0], 0.4);
        sheet.note("pull, 4 connections, CPU-s/GiB", Less, NGINX[1], 0.1);
        let reached = reached(&sheet);
        let verdicts: Vec<_> = reached.iter().map(|row| (row.figure, row.holds())).collect();
        assert_eq!(verdicts.len(), 3, "nothing is said without its figures");
        assert!(verdicts[0].0 == 2.4 && !verdicts[0].1, "{reached:?}");
        assert!(verdicts[1].0 == 1.2 && verdicts[1].1, "{reached:?}");
        assert!(!verdicts[2].1, "the better nginx counts: {reached:?}");
        assert_eq!(markdown(&reached).matches("**missed**").count(), 2);
        sheet.note(logins::IDLE, Less, LARDER, 1.0);
        sheet.note(logins::BESIDE, Less, LARDER, 4.5);
        let last = super::reached(&sheet).pop().expect("a row");
        assert!(last.limit == 4.0 && !last.holds(), "{last:?}");
    }
}
