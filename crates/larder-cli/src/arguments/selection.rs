//! Which entries an import or an export is about.

use clap::Args;
use larder::Snapshot;

use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct Selection {
    /// One group. A JSON or TOML document then holds its keys alone; a .env file always does
    #[arg(long)]
    pub group: Option<String>,
    /// Only groups whose names start with this
    #[arg(long, value_name = "P", conflicts_with = "group")]
    pub prefix: Option<String>,
}

impl Selection {
    /// Whether the entries of a group are selected.
    pub fn takes(&self, group: &str) -> bool {
        match (&self.group, &self.prefix) {
            (Some(only), _) => group == only,
            (None, Some(prefix)) => group.starts_with(prefix),
            (None, None) => true,
        }
    }

    /// The names of the selected groups, sorted. One that was named need not be there.
    pub fn groups(&self, snapshot: &Snapshot) -> Result<Vec<String>, Failure> {
        match &self.group {
            Some(group) => Ok(vec![group.clone()]),
            None => {
                let groups = snapshot.groups(self.prefix.as_deref().unwrap_or_default())?;
                Ok(groups.into_iter().map(|group| group.name).collect())
            }
        }
    }
}
