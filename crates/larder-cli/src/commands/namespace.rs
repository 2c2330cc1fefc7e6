//! `larder namespace`: lists namespaces, sets their quotas and deletes them.

use larder::{NamespaceInfo, Quota};
use serde_json::json;

use super::confirm::confirm;
use crate::arguments::{self, Namespace, Place};
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::text::{counted, size};

pub fn run(command: &Namespace, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let place = place.whole("namespace")?;
    match command {
        Namespace::List => show(place.reading()?.whole.namespaces()?, output),
        Namespace::Quota(command) => quota(command, place, output),
        Namespace::Delete(command) => delete(command, place, output),
    }
}

fn quota(command: &arguments::Quota, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let arguments::Quota { name, max_keys, max_groups, max_bytes } = command;
    let changes = max_keys.is_some() || max_groups.is_some() || max_bytes.is_some();
    let opened = if changes { place.writing()? } else { place.reading()? };
    let tenant = opened.whole.scoped(name)?;
    let mut quota = tenant.quota()?;
    if changes {
        quota = Quota {
            max_keys: max_keys.or(quota.max_keys).filter(|limit| *limit > 0),
            max_groups: max_groups.or(quota.max_groups).filter(|limit| *limit > 0),
            max_bytes: max_bytes.or(quota.max_bytes).filter(|limit| *limit > 0),
        };
        opened.whole.set_quota(name, quota)?;
    }
    let info = NamespaceInfo { name: name.clone(), usage: tenant.usage()?, quota };
    match output.form() {
        Form::Json => output.json(&info),
        Form::Table | Form::Plain => show(vec![info], output),
    }
}

fn delete(command: &arguments::NamespaceDelete, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let name = &command.name;
    let opened = place.changing()?;
    let tenant = opened.whole.scoped(name)?;
    let cursors = tenant.cursors()?;
    // Of a deleted namespace, these are what an earlier version has left behind.
    let histories = tenant.histories()?;
    let is_there = !cursors.is_empty() || !histories.is_empty();
    if !is_there && !opened.whole.namespaces()?.iter().any(|namespace| namespace.name == *name) {
        return Err(Failure::NotFound(format!("there is no namespace {name:?}"))
            .advise("See which there are with `larder namespace list`."));
    }
    if !command.yes {
        let keys = counted(tenant.count_all("")?, "key");
        confirm(&format!(
            "Delete the namespace {name:?} with {keys}, its quota, its cursors and its histories?"
        ))?;
    }
    let deleted = tenant.delete_prefix("")?;
    opened.whole.set_quota(name, Quota::default())?;
    for cursor in cursors {
        tenant.delete_cursor(&cursor.name)?;
    }
    for history in histories {
        opened.whole.remove_history(format!("{name}:{}", history.prefix))?;
    }
    let words = format!("deleted the namespace {name} with {}", counted(deleted, "key"));
    output.answer(&json!({ "deleted": deleted }), &words, Some(&deleted.to_string()))
}

fn show(namespaces: Vec<NamespaceInfo>, output: &mut Output) -> Result<(), Failure> {
    match output.form() {
        Form::Json => namespaces.iter().try_for_each(|namespace| output.json(namespace)),
        Form::Plain => namespaces.iter().try_for_each(|NamespaceInfo { name, usage, quota }| {
            let figures = [
                usage.keys.to_string(),
                usage.groups.to_string(),
                usage.bytes.to_string(),
                limit_field(quota.max_keys),
                limit_field(quota.max_groups),
                limit_field(quota.max_bytes),
            ];
            let fields: Vec<&[u8]> =
                std::iter::once(name.as_bytes()).chain(figures.iter().map(String::as_bytes)).collect();
            output.fields(&fields)
        }),
        Form::Table if namespaces.is_empty() => {
            output.line("There are no namespaces; `larder --namespace NS set …` creates one.")
        }
        Form::Table => {
            let rows = namespaces.into_iter().map(|NamespaceInfo { name, usage, quota }| {
                let of = |used: String, limit: Option<String>| match limit {
                    Some(limit) => format!("{used} of {limit}"),
                    None => used,
                };
                vec![
                    name,
                    of(usage.keys.to_string(), quota.max_keys.map(|limit| limit.to_string())),
                    of(usage.groups.to_string(), quota.max_groups.map(|limit| limit.to_string())),
                    of(size(usage.bytes), quota.max_bytes.map(size)),
                ]
            });
            output.table(&["namespace", ">keys", ">groups", ">size"], rows.collect())
        }
    }
}

/// Formats a limit for plain output: 0 means no limit, as in `larder namespace quota`.
fn limit_field(limit: Option<u64>) -> String {
    limit.unwrap_or(0).to_string()
}
