//! Many images. `cargo test -p larder-registry --release -- --ignored --nocapture a_hundred_thousand_images` prints what they cost.

use std::time::Instant;

use larder_registry::policy::{Image, Policy, evaluate, preview};

use super::examples::CASE_7;
use super::repository::{NOW, Repository, days_ago, digest};

const IMAGES: u32 = 100_000;

#[test]
#[ignore = "prints figures"]
fn a_hundred_thousand_images() {
    let before = resident();
    let mut r = Repository::default();
    for number in 0..IMAGES {
        let tags = match number % 4 {
            0 => vec![format!("prod-{number}"), format!("1.{number}.0")],
            1 => vec![format!("dev-{number}")],
            _ => vec![],
        };
        let tags = tags.iter().map(|tag| tag.parse().expect("a tag")).collect();
        let mut image = Image::new(digest(number), tags, days_ago(i64::from(number % 400)));
        image.size = 1_000;
        r.facts.images.push(image);
        let own = r.blob(u64::from(number) * 1_000);
        let blobs = (0..8).map(|back| own.saturating_sub(back * 7));
        let children = (number % 10 == 9).then(|| number - 1);
        r.facts.holds(number, children, blobs);
    }
    let policy = Policy::read(CASE_7).expect("it is right");
    let begun = Instant::now();
    let evaluation = evaluate(&policy, &[], &r.facts, NOW);
    let told = preview(&policy, &r.facts, &evaluation, NOW);
    let took = begun.elapsed();
    eprintln!(
        "{} images, {} go, {} MB come free: {took:?}; {} MiB with the facts",
        told.images,
        told.going.len(),
        told.bytes / 1_000_000,
        (peak() - before) >> 20,
    );
    assert_eq!(evaluation, evaluate(&policy, &[], &r.facts, NOW), "the same facts give the same decisions");
}

fn resident() -> u64 {
    of_status("VmRSS:")
}

fn peak() -> u64 {
    of_status("VmHWM:")
}

fn of_status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("it is there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}
