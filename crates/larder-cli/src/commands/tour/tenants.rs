//! The tour's steps about tenants: isolation and quotas.

use super::stage::Stage;
use crate::failure::Failure;

pub fn isolation(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Isolated tenants", "Two tenants share one store. Neither can see the other's entries.")?;
    stage.run(&["--namespace", "acme", "set", "preferences", "theme", "dark"])?;
    stage.run(&["--namespace", "umbra", "set", "preferences", "theme", "light"])?;
    stage.run(&["--namespace", "acme", "list", "preferences"])?;
    stage.run(&["--namespace", "umbra", "list", "preferences"])?;
    let store = stage.store()?;
    for (name, theme) in [("acme", "dark"), ("umbra", "light")] {
        let tenant = store.scoped(name)?;
        let own = tenant.get("preferences", "theme")?.is_some_and(|value| value == theme);
        stage.check(
            &format!("{name} sees its own theme, and one group"),
            own && tenant.groups("")?.len() == 1,
        )?;
    }
    Ok(())
}

pub fn quota(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Quotas", "One tenant may hold at most two keys, so it cannot crowd out the others.")?;
    stage.run(&["namespace", "quota", "acme", "--max-keys", "2"])?;
    stage.run(&["--namespace", "acme", "set", "preferences", "language", "de-AT"])?;
    stage.run_refused(&["--namespace", "acme", "set", "preferences", "one-more", "x"], 3)?;
    stage.run(&["--namespace", "umbra", "set", "preferences", "one-more", "x"])?;
    let store = stage.store()?;
    let kept = store.scoped("acme")?.count("preferences")? == 2;
    let free = store.scoped("umbra")?.exists("preferences", "one-more")?;
    stage.found("acme still has two keys, and umbra has no limit", kept && free)
}
