//! What holds for every page, whoever looks at it and with what.

use super::Ground;
use super::browser::Look;
use crate::ensure;
use crate::harness::{Failure, Outcome};

/// Opens a page and holds it against every rule; keeps a picture under this name.
pub fn hold(ground: &Ground, path: &str, look: Look, says: &str, picture: &str) -> Outcome {
    ground.open(path)?;
    ground.browser.wait_for(says)?;
    ground.picture(picture)?;
    let name = || format!("{path} ({}, {} px)", look.scheme, look.width);
    let wide =
        ground.browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")?;
    ensure!(wide.as_i64().is_some_and(|more| more <= 0), "{} is {wide} px wider than the window", name());
    let elsewhere = ground.browser.run(
        "return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith(location.origin))",
    )?;
    ensure!(elsewhere.as_array().is_some_and(Vec::is_empty), "{} asks {elsewhere}", name());
    let shift = ground.browser.run_until_called(
        "const done = arguments[arguments.length - 1]; let sum = 0;
         new PerformanceObserver(list => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value; })
             .observe({ type: 'layout-shift', buffered: true });
         setTimeout(() => done(sum), 50)",
    )?;
    ensure!(shift.as_f64().is_some_and(|shift| shift < 0.01), "{} moves by {shift} while it loads", name());
    is_accessible(ground).map_err(|failure| Failure::new(format!("{}: {failure}", name())))?;
    let mut complaints = ground.browser.complaints()?;
    // Chromium notes that the page itself was answered with 404: that is what such a page is for.
    complaints.retain(|complaint| !complaint.starts_with(&format!("{} - Failed to load resource", ground.url(path))));
    ensure!(complaints.is_empty(), "{} makes the console say {complaints:?}", name());
    Ok(())
}

/// axe-core finds nothing against WCAG 2.2 AA, nor against its own good practice where it is serious.
fn is_accessible(ground: &Ground) -> Outcome {
    let run = format!(
        "{}\nconst done = arguments[arguments.length - 1];
         for (const details of document.querySelectorAll('details:not([name])')) details.open = true;
         axe.run().then(found => done(found.violations
             .filter(rule => ['serious', 'critical'].includes(rule.impact) || rule.tags.some(tag => /^wcag2\\d?a{{1,2}}$/.test(tag)))
             .map(rule => rule.id + ': ' + rule.nodes.map(node => node.target.join(' ') + ' ' + (node.any[0] || node.all[0] || node.none[0] || {{}}).message).join('; '))))",
        ground.axe
    );
    let found = ground.browser.run_until_called(&run)?;
    ensure!(found.as_array().is_some_and(Vec::is_empty), "axe finds {found:#}");
    Ok(())
}
