//! `docs/cluster.md`: its commands parse, and its Kubernetes manifest is one that the API takes.

use crate::shell::workspace;
use clap::Parser;
use serde::Deserialize;
use serde_json::{Map, Value};
use xtask::cli::{Cli, Command, Engine};

fn page() -> String {
    std::fs::read_to_string(workspace().join("docs/cluster.md")).unwrap()
}

/// The blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    page.split(&format!("```{language}\n")).skip(1).map(|b| b.split("```").next().unwrap()).collect()
}

/// The part of YAML that the page uses: maps and lists by indentation, lists of scalars in brackets, plain and quoted scalars. Anything else panics.
fn yaml(lines: &mut Vec<(usize, String)>, indent: usize) -> Value {
    let scalar = |t: &str| -> Value {
        let quoted = t.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        match (quoted, t.parse::<i64>()) {
            (Some(text), _) => text.into(),
            (None, Ok(n)) => n.into(),
            (None, Err(_)) => {
                assert!(!t.contains(['"', '\'', '{', '}', '&', '*', '#', '|', '>']) && !t.contains(": "), "{t}");
                assert!(!["true", "false", "yes", "no", "on", "off", "null", "~"].contains(&t), "{t}");
                t.into()
            }
        }
    };
    let value = |t: &str| match t.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        Some(items) => items.split(", ").map(scalar).collect(),
        None => scalar(t),
    };
    if lines[0].1.starts_with("- ") {
        let mut list = Vec::new();
        while lines.first().is_some_and(|l| l.0 == indent && l.1.starts_with("- ")) {
            let item = lines[0].1[2..].to_owned();
            lines[0] = (indent + 2, item);
            list.push(yaml(lines, indent + 2));
        }
        return list.into();
    }
    let mut map = Map::new();
    while lines.first().is_some_and(|l| l.0 == indent) {
        let line = lines.remove(0).1;
        let (key, rest) = line.split_once(':').unwrap();
        let found = match rest.trim() {
            "" => {
                let below = lines[0].0;
                assert!(below > indent, "{line} has no value");
                yaml(lines, below)
            }
            text => value(text),
        };
        assert!(map.insert(key.to_owned(), found).is_none(), "{key} is there twice");
    }
    map.into()
}

fn read(text: &str) -> Value {
    let line = |l: &str| (l.len() - l.trim_start().len(), l.trim_start().to_owned());
    let mut lines: Vec<_> = text.lines().filter(|l| !l.trim().is_empty()).map(line).collect();
    let value = yaml(&mut lines, 0);
    assert!(lines.is_empty(), "left over: {lines:?}");
    value
}

/// The fields of batch/v1 that the page uses, by their names and types in the API's reference; an unknown one is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Job {
    api_version: String,
    kind: String,
    metadata: Name,
    spec: JobSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JobSpec {
    completion_mode: String,
    completions: i32,
    parallelism: i32,
    backoff_limit_per_index: i32,
    max_failed_indexes: i32,
    pod_failure_policy: Policy,
    template: Template,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    action: Action,
    on_exit_codes: Option<ExitCodes>,
    on_pod_conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize, PartialEq)]
#[allow(dead_code)]
enum Action {
    FailIndex,
    FailJob,
    Ignore,
    Count,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExitCodes {
    container_name: String,
    operator: String,
    values: Vec<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    r#type: String,
    status: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    spec: PodSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PodSpec {
    restart_policy: String,
    termination_grace_period_seconds: i64,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Container {
    name: String,
    image: String,
    command: Vec<String>,
    args: Vec<String>,
    env: Vec<Variable>,
    resources: Resources,
    volume_mounts: Vec<Mount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    /// A number without quotes is refused by the API, and here.
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    requests: Map<String, Value>,
    limits: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Mount {
    name: String,
    mount_path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Volume {
    name: String,
    persistent_volume_claim: Claim,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Claim {
    claim_name: String,
}

/// The API's own rules for what goes together, beyond types.
fn check(job: &Job) {
    let (spec, pod) = (&job.spec, &job.spec.template.spec);
    assert_eq!((job.api_version.as_str(), job.kind.as_str()), ("batch/v1", "Job"));
    let label = |n: &str| n.len() <= 63 && n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    assert!(label(&job.metadata.name));
    // Limits by index need indices; a policy needs pods that are not started again by their node.
    assert_eq!((spec.completion_mode.as_str(), pod.restart_policy.as_str()), ("Indexed", "Never"));
    assert!(spec.parallelism >= 1 && spec.backoff_limit_per_index >= 0);
    assert!((0..=spec.completions).contains(&spec.max_failed_indexes) && spec.completions <= 100_000);
    assert!(spec.pod_failure_policy.rules.len() <= 20);
    for rule in &spec.pod_failure_policy.rules {
        assert!(rule.on_exit_codes.is_some() != rule.on_pod_conditions.is_some(), "one condition a rule");
        if let Some(codes) = &rule.on_exit_codes {
            assert!(pod.containers.iter().any(|c| c.name == codes.container_name));
            assert!(codes.operator == "In" && !codes.values.is_empty() && !codes.values.contains(&0));
            assert!(codes.values.is_sorted_by(|a, b| a < b));
        }
        for c in rule.on_pod_conditions.iter().flatten() {
            assert!(c.r#type == "DisruptionTarget" && c.status == "True");
        }
    }
    for c in &pod.containers {
        assert!(label(&c.name) && !c.image.is_empty());
        assert!(
            c.volume_mounts
                .iter()
                .all(|m| m.mount_path.starts_with('/') && pod.volumes.iter().any(|v| v.name == m.name))
        );
        for quantity in c.resources.requests.values().chain(c.resources.limits.values()) {
            assert!(quantity.is_string() || quantity.is_number());
        }
        assert!(c.env.iter().all(|v| !v.name.is_empty() && !v.value.is_empty()));
    }
    assert!(pod.volumes.iter().all(|v| label(&v.persistent_volume_claim.claim_name)));
    // The program needs its 20 seconds to end a step.
    assert!(pod.termination_grace_period_seconds > 20);
}

#[test]
fn the_manifest_is_a_job_and_its_codes_and_shares_are_ours() {
    let page = page();
    let [text] = blocks(&page, "yaml")[..] else { panic!("one manifest") };
    let job: Job = serde_json::from_value(read(text)).unwrap();
    check(&job);
    let codes = |action: Action| -> Vec<i32> {
        let rules = job.spec.pod_failure_policy.rules.iter().filter(|r| r.action == action);
        rules.filter_map(|r| r.on_exit_codes.as_ref()).flat_map(|c| c.values.clone()).collect()
    };
    assert_eq!((codes(Action::FailIndex), codes(Action::Ignore)), (vec![2], vec![75]));
    // Its arguments are a command of ours, with as many shares as there are pods.
    let container = &job.spec.template.spec.containers[0];
    assert_eq!(container.command, ["lab"]);
    let cli = Cli::try_parse_from(std::iter::once(&container.command[0]).chain(&container.args)).unwrap();
    let Command::Reproduce(args) = cli.command else { panic!("not a reproduction") };
    let index = |name: &str| (name == "JOB_COMPLETION_INDEX").then(|| "3".to_owned());
    let share = args.fan.shard.unwrap().resolve(index).unwrap();
    assert_eq!((share.index, share.of as i32), (3, job.spec.completions));
    // What the schema is for.
    for (from, to) in [
        ("backoffLimitPerIndex", "backoffLimitPerindex"),
        ("values: [2]", "values: 2"),
        ("value: \"4\"", "value: 4"),
        ("action: FailIndex", "action: Fail"),
        ("completions: 16", "completions: many"),
    ] {
        assert!(text.contains(from));
        assert!(serde_json::from_value::<Job>(read(&text.replacen(from, to, 1))).is_err(), "{to}");
    }
}

#[test]
fn the_commands_of_the_page_parse() {
    let page = page();
    let mut parsed = 0;
    for line in blocks(&page, "sh").concat().lines().map(str::trim) {
        let line = line
            .strip_prefix("ssh \"${hosts[$i]}\" \"cd sconce && ")
            .or(line.strip_prefix("ssh \"${hosts[$i]}\" \""))
            .unwrap_or(line);
        let line = line.trim_end_matches('&').trim().trim_end_matches('"');
        let line = line
            .replace("$((i + 1))/$n", "1/4")
            .replace("$(printf -- '--merge run-%s ' \"${hosts[@]}\")", "--merge run-a --merge run-b");
        let line = line.replace("\"${hosts[@]/%/.ledger}\"", "a.ledger b.ledger");
        let words: Vec<&str> = match line.strip_prefix("cargo xtask ").or(line.strip_prefix("sconce ")) {
            Some(rest) => std::iter::once("xtask").chain(rest.split_whitespace()).collect(),
            None => continue,
        };
        let cli = Cli::try_parse_from(&words).unwrap_or_else(|e| panic!("{line}: {e}"));
        if let Command::Reproduce(args) = cli.command {
            assert!(args.fan.on == Engine::Slurm || args.fan.partition.is_none());
        }
        parsed += 1;
    }
    assert_eq!(parsed, 7);
}
