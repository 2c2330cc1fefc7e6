//! The layering that `docs/architecture.md` describes: imports point down, and no files import each other in a
//! cycle. The table of layers in that page is read here, so page and code cannot differ.

#[path = "layers/imports.rs"]
mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use imports::{Module, imports};

/// What each layer may import, by the table in the page.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/architecture.md");
    let page = fs::read_to_string(page).unwrap();
    let table = page.split("| layer | what is in it | may import |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let names =
        |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (names(cells[1]).pop_first().unwrap(), names(cells[3]))
    })
    .collect()
}

/// The layer of a module: the longest name in the table that its path starts with.
fn layer<'a>(module: &Module, layers: impl Iterator<Item = &'a String>) -> Option<String> {
    let path = module.to_string();
    layers
        .filter(|layer| path == **layer || path.starts_with(&format!("{layer}/")))
        .max_by_key(|layer| layer.len())
        .cloned()
}

#[test]
fn imports_point_down_the_layers() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for (from, to) in imports() {
        // The crate root lists what is public and imports everything for it.
        if from.is_root() {
            continue;
        }
        if to.is_root() {
            wrong.push(format!("{from} imports through the crate root; name the layer instead"));
            continue;
        }
        match (layer(&from, allowed.keys()), layer(&to, allowed.keys())) {
            (Some(above), Some(below)) if above == below || allowed[&above].contains(&below) => {}
            (Some(_), Some(below)) => wrong.push(format!("{from} may not import {to}, of the layer {below}")),
            _ => wrong.push(format!("{from} or {to} is in no layer of docs/architecture.md")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    // Removes files that import nothing which is left, until none does. What remains is on a cycle, or leads
    // to one.
    let mut left: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (from, to) in imports().into_iter().filter(|(from, _)| !from.is_root()) {
        left.entry(from).or_default().insert(to);
    }
    loop {
        let open: BTreeSet<Module> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, to| to.iter().any(|module| open.contains(module)));
        if left.len() == before {
            break;
        }
    }
    let listed = left.iter().map(|(from, to)| {
        let to = to.iter().filter(|module| left.contains_key(module)).map(Module::to_string);
        format!("{from} -> {}", to.collect::<Vec<_>>().join(", "))
    });
    assert!(left.is_empty(), "files import each other:\n{}", listed.collect::<Vec<_>>().join("\n"));
}
