//! The figures of a run: medians by row and server, and Larder's ratio to the best of the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Whether more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Rates.
    More,
    /// Costs.
    Less,
}

#[derive(Debug)]
struct Row {
    name: String,
    better: Better,
    samples: BTreeMap<String, Vec<f64>>,
}

/// All figures, in the order in which they were first taken.
#[derive(Debug, Default)]
pub struct Sheet {
    rows: Vec<Row>,
}

impl Sheet {
    /// Notes one sample.
    pub fn note(&mut self, row: &str, better: Better, server: &str, value: f64) {
        let known = self.rows.iter().position(|known| known.name == row);
        let index = known.unwrap_or_else(|| {
            self.rows.push(Row { name: row.to_owned(), better, samples: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[index].samples.entry(server.to_owned()).or_default().push(value);
    }

    /// The median of what was noted.
    pub fn median(&self, row: &str, server: &str) -> Option<f64> {
        self.rows.iter().find(|known| known.name == row)?.median(server)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The table, a column for each server.
    pub fn markdown(&self, servers: &[&str]) -> String {
        let mut servers: Vec<&str> = servers.to_vec();
        let extra = self.rows.iter().flat_map(|row| row.samples.keys());
        for server in extra {
            if !servers.contains(&server.as_str()) {
                servers.push(server);
            }
        }
        let mut text = format!("| what | {} | ratio to the best other |\n", servers.join(" | "));
        let _ = writeln!(text, "|---|{}---|", "---|".repeat(servers.len()));
        for row in &self.rows {
            let cells: Vec<_> = servers.iter().map(|server| row.median(server).map_or("–".to_owned(), shown)).collect();
            let ratio = row.ratio().map_or("–".to_owned(), |(ratio, other)| format!("{ratio:.2} × {other}"));
            let _ = writeln!(text, "| {} | {} | {ratio} |", row.name, cells.join(" | "));
        }
        text
    }
}

impl Row {
    fn median(&self, server: &str) -> Option<f64> {
        let mut samples = self.samples.get(server)?.clone();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    }

    /// Larder's figure over the best other one.
    fn ratio(&self) -> Option<(f64, &str)> {
        let larder = self.median("Larder")?;
        let others = self.samples.keys().filter(|server| *server != "Larder");
        let others = others.filter_map(|server| Some((self.median(server)?, server.as_str())));
        let best = match self.better {
            Better::More => others.max_by(|a, b| a.0.total_cmp(&b.0)),
            Better::Less => others.min_by(|a, b| a.0.total_cmp(&b.0)),
        };
        // Too little work for the kernel's clock is no figure to divide by.
        best.filter(|(value, _)| *value > 0.0).map(|(value, server)| (larder / value, server))
    }
}

fn shown(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_are_those_of_the_samples() {
        let mut sheet = Sheet::default();
        for (server, values) in [("Larder", [3.0, 1.0, 2.0]), ("nginx", [4.0, 4.0, 9.0]), ("zot", [8.0, 8.0, 8.0])] {
            values.iter().for_each(|value| sheet.note("cost", Better::Less, server, *value));
            values.iter().for_each(|value| sheet.note("rate", Better::More, server, *value));
        }
        let table = sheet.markdown(&["Larder", "nginx"]);
        assert!(table.contains("| cost | 2.00 | 4.00 | 8.00 | 0.50 × nginx |"), "{table}");
        assert!(table.contains("| rate | 2.00 | 4.00 | 8.00 | 0.25 × zot |"), "{table}");
        sheet.note("next to nothing", Better::Less, "Larder", 1.0);
        sheet.note("next to nothing", Better::Less, "nginx", 0.0);
        let table = sheet.markdown(&["Larder", "nginx"]);
        assert!(table.contains("| next to nothing | 1.00 | 0.00 | – | – |"), "{table}");
    }
}
