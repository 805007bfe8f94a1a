//! What was taken from a weights file, in words.

use sconce_tensor_core::nets::load::Choice;

/// Names that a note lists at most.
const LISTED: usize = 8;

fn list(names: &[String]) -> String {
    let more = if names.len() > LISTED { format!(" and {} more", names.len() - LISTED) } else { String::new() };
    format!("{:?}{more}", &names[..names.len().min(LISTED)])
}

/// What a user wants to know of what was taken, where it was not all of the file.
pub(crate) fn notes(choice: &Choice) -> Vec<String> {
    let Choice { key, others, prefix, outside, passed, normalize, divided, unused, .. } = choice;
    let mut notes = Vec::new();
    if !others.is_empty() || choice.is_average() {
        let taken = match (&key[..], &prefix[..]) {
            ("", "") => "they were taken".to_owned(),
            ("", name) | (name, _) => format!("those of `{name}` were taken"),
        };
        let what = if choice.is_average() { ", an average over the training" } else { "" };
        let rest = if others.is_empty() {
            String::new()
        } else {
            format!("; the file also has {others:?}, and --weights-key chooses")
        };
        notes.push(format!("{taken}{what}{rest}"));
    }
    for (other, lacks) in passed {
        let place = if other.is_empty() { "the whole file".to_owned() } else { format!("`{other}`") };
        notes.push(format!("{place} was passed over, because `{lacks}` is not in it"));
    }
    if !outside.is_empty() {
        notes.push(format!("{} were left out, because they are no part of the network", list(outside)));
    }
    if let Some((mean, std)) = normalize {
        let how = if *divided { ", after a division by 255" } else { "" };
        notes.push(format!(
            "the file has a normalising layer, mean {mean:?} and standard deviation {std:?}, which is applied{how}"
        ));
    }
    if let Some((mean, std)) = unused {
        notes.push(format!(
            "the file also has `{mean}` and `{std}`, which are not applied; give them as --mean and --std if the network was trained on normalised images"
        ));
    }
    notes
}
