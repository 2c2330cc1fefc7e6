//! The tour's steps about tenants: fenced off, and limited.

use super::stage::Stage;
use crate::failure::Failure;

pub fn fences(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Customers, fenced off", "Two customers in one file. Neither can see what the other has.")?;
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
    stage.step(
        "Limits",
        "One customer may keep two values and no more, so that it cannot crowd out the rest.",
    )?;
    stage.run(&["namespace", "quota", "acme", "--max-keys", "2"])?;
    stage.run(&["--namespace", "acme", "set", "preferences", "language", "de-AT"])?;
    stage.run_refused(&["--namespace", "acme", "set", "preferences", "one-more", "x"], 3)?;
    stage.run(&["--namespace", "umbra", "set", "preferences", "one-more", "x"])?;
    let store = stage.store()?;
    let kept = store.scoped("acme")?.count("preferences")? == 2;
    let free = store.scoped("umbra")?.exists("preferences", "one-more")?;
    stage.found("acme still has two values, and umbra is not held back", kept && free)
}
