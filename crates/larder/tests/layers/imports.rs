//! Which file of the library imports which, by its `use` items and its paths in code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

/// A module of the library, which is a file; empty is the crate root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module(Vec<String>);

impl Module {
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str("lib") } else { f.write_str(&self.0.join("/")) }
    }
}

/// Each import, as a pair of the file that imports and the file that defines. Names are followed through the
/// re-exports of a folder's own listing to the file that defines them.
pub fn imports() -> BTreeSet<(Module, Module)> {
    let mut files = BTreeMap::new();
    read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut Vec::new(), &mut files);
    let mut library = Library { exports: BTreeMap::new(), files };
    for (module, code) in &library.files {
        let exports = uses(code).filter(|(is_public, _)| *is_public).map(|(_, path)| path);
        let named = exports.map(|path| (path.last().cloned().unwrap_or_default(), path));
        library.exports.insert(module.clone(), named.collect());
    }
    let mut imports = BTreeSet::new();
    for (module, code) in &library.files {
        let used = uses(code).filter(|(is_public, _)| !is_public).map(|(_, path)| path);
        for path in used.chain(paths_in_code(code)) {
            if let Some(absolute) = absolute(module, &path) {
                let target = library.resolve(&absolute, 0);
                if target != *module {
                    imports.insert((module.clone(), target));
                }
            }
        }
    }
    imports
}

struct Library {
    /// The code of each file, without comments and unit tests.
    files: BTreeMap<Module, String>,
    /// What each file exports of others, by name.
    exports: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Library {
    /// The file that defines what a path from the crate root names.
    fn resolve(&self, path: &[String], depth: usize) -> Module {
        let length =
            (0..=path.len()).rev().find(|length| self.files.contains_key(&Module(path[..*length].to_vec())));
        let (module, rest) = path.split_at(length.unwrap_or_default());
        let module = Module(module.to_vec());
        let export = rest.first().and_then(|name| self.exports[&module].get(name));
        match export.and_then(|export| absolute(&module, export)) {
            Some(target) if depth < 8 => self.resolve(&target, depth + 1),
            _ => module,
        }
    }
}

fn read_folder(folder: &Path, module: &mut Vec<String>, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            module.push(name);
            read_folder(&path, module, files);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut of_file = module.clone();
            if name != "lib" {
                of_file.push(name);
            }
            files.insert(Module(of_file), code_of(&fs::read_to_string(path).unwrap()));
        }
    }
}

/// A source without its comments and without the unit tests at its end.
fn code_of(source: &str) -> String {
    let library = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    library.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths of all `use` items, and whether each is a re-export.
fn uses(code: &str) -> impl Iterator<Item = (bool, Vec<String>)> {
    let items = code.split(';').filter_map(|item| {
        let start = item.rfind("use ").filter(|start| {
            let before = item[..*start].trim_end();
            before.is_empty() || before.ends_with([')', ']', '}', '{']) || before.ends_with("pub")
        })?;
        let is_public = item[..start].rsplit(['\n', '}', ']']).next().unwrap_or_default().contains("pub");
        Some((is_public, &item[start + 4..]))
    });
    items.flat_map(|(is_public, tree)| expand(tree).into_iter().map(move |path| (is_public, path)))
}

/// The paths that a `use` tree names.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|part| part.trim().to_owned()).collect()];
    };
    let prefix: Vec<String> = prefix
        .trim_end_matches("::")
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let mut depth = 0;
    let branches = inside.split(|character| {
        depth += i32::from(character == '{') - i32::from(character == '}');
        character == ',' && depth == 0
    });
    let expanded = branches.filter(|branch| !branch.trim().is_empty()).flat_map(expand);
    expanded
        .map(|path| {
            let path = path.into_iter().filter(|part| part != "self" || prefix.is_empty());
            prefix.iter().cloned().chain(path).collect()
        })
        .collect()
}

/// Paths in code that begin with `crate::` or `super::`, other than in `use` items and visibilities.
fn paths_in_code(code: &str) -> impl Iterator<Item = Vec<String>> {
    let without_uses: Vec<&str> = code
        .split(';')
        .filter(|item| !item.trim_start().starts_with("use ") && !item.contains("\nuse "))
        .collect();
    let text = without_uses.join(";").replace("pub(in crate::", "pub(in ");
    let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    let words: Vec<String> = text.split(|character| !is_part(character)).map(str::to_owned).collect();
    words
        .into_iter()
        .filter(|word| word.starts_with("crate::") || word.starts_with("super::"))
        .map(|word| word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// A path from the crate root; `None` where it leads out of the crate.
fn absolute(module: &Module, path: &[String]) -> Option<Vec<String>> {
    let mut base = module.0.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => return Some(path[1..].to_vec()),
        "self" | "super" => {}
        _ => return None,
    }
    while let Some(("self" | "super", tail)) = rest.split_first().map(|(part, tail)| (part.as_str(), tail)) {
        if rest[0] == "super" {
            base.pop();
        }
        rest = tail;
    }
    base.extend(rest.iter().cloned());
    Some(base)
}
