//! The links of the pages lead somewhere. crates.io shows a README without the files around it, so its links name the
//! repository.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// `repository` in Cargo.toml.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The targets of the links of a page, without what is after `#`.
fn links(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.split('#').next().unwrap().to_owned()).collect()
}

/// The pages of the repository in this folder.
fn pages(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(root().join(folder)).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

#[test]
fn every_link_of_a_readme_works_where_only_the_readme_is() {
    for readme in ["README.md", "crates/larder-config/README.md", "crates/larder-sessions/README.md"] {
        let links = links(&root().join(readme));
        assert!(links.len() > 2, "{readme}");
        for link in links {
            assert!(link.is_empty() || link.starts_with("https://"), "{readme}: {link}");
            let path = link.strip_prefix(REPOSITORY).and_then(|path| {
                path.strip_prefix("/blob/main/").or_else(|| path.strip_prefix("/tree/main/"))
            });
            assert!(path.is_none_or(|path| root().join(path).exists()), "{readme}: {link}");
        }
    }
}

#[test]
fn every_relative_link_of_a_page_leads_to_a_file() {
    for page in [pages(""), pages("docs")].concat() {
        for link in links(&page).iter().filter(|link| !link.is_empty() && !link.contains(':')) {
            assert!(page.with_file_name(link).exists(), "{}: {link}", page.display());
        }
    }
}
