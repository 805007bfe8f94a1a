//! What holds for every paper: its recipes open, their plans are in order, its claims are read.

use super::TABLE;
use crate::claims::Claims;
use crate::jobs::{Plan, Site};
use crate::places::workspace;
use crate::recipe::Recipe;
use sconce::args::Places;
use sconce::places::lookup;
use sconce_tensor_core::Device;
use sconce_tensor_core::store::Fingerprint;
use xtask::cli::Preset;

#[test]
fn every_preset_of_every_paper_is_a_plan() {
    for entry in TABLE {
        let folder = workspace().join("xtask/recipes").join(entry.slug);
        Claims::load(&folder.join("claims.toml")).unwrap();
        for preset in Preset::ALL {
            let recipe = Recipe::read(&folder, preset, &[]).unwrap();
            let paper = (entry.open)(&recipe).unwrap_or_else(|e| panic!("{} {}: {e:#}", entry.slug, preset.name()));
            let site = Site::new(Device::Cpu, lookup(&Places::default()).unwrap());
            let mut plan = Plan::new(Fingerprint::new());
            if preset == Preset::Smallest || preset == Preset::Quick {
                // The others may need data that is not on this machine.
                paper.plan(paper.seeds(), &site, &mut plan).unwrap();
                assert!(!plan.jobs().is_empty());
            }
        }
    }
}

#[test]
fn more_seeds_are_more_jobs_and_leave_the_others_as_they_are() {
    for entry in TABLE {
        let folder = workspace().join("xtask/recipes").join(entry.slug);
        let recipe = Recipe::read(&folder, Preset::Smallest, &[]).unwrap();
        let paper = (entry.open)(&recipe).unwrap();
        let site = Site::new(Device::Cpu, lookup(&Places::default()).unwrap());
        let plan_of = |seeds: &[u64]| {
            let mut plan = Plan::new(Fingerprint::new());
            paper.plan(seeds, &site, &mut plan).unwrap();
            plan.jobs().iter().map(|j| (j.id.key.clone(), j.id.print.clone())).collect::<Vec<_>>()
        };
        let (few, more) = (plan_of(&[0, 1]), plan_of(&[0, 1, 2]));
        assert!(few.iter().all(|job| more.contains(job)), "{}", entry.slug);
        let new: Vec<&str> = more.iter().filter(|j| !few.contains(j)).map(|j| j.0.as_str()).collect();
        assert!(!new.is_empty() && new.iter().all(|k| k.contains("seed2")), "{}: {new:?}", entry.slug);
    }
}
