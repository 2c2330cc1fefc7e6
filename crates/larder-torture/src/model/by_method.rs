//! A step as the call of the method of the same name, on whatever has such methods.

/// Makes a change, and returns its outcome. `$call` is a macro that makes a call: `$call!(on, |store| store.…)`. `$name`
/// gives a group its name within `$on`, `$condition` makes a condition of an entry's name and a `When`, and `$until` makes
/// a time of the milliseconds until then.
macro_rules! by_method {
    ($call:ident, $on:expr, $step:expr, $name:expr, $condition:expr, $until:expr) => {
        match $step {
            Step::Set { at, value, ttl_ms: None } => {
                $call!($on, |store| store.set($name(at.group), at.key, value)).map(|_| 1)
            }
            Step::Set { at, value, ttl_ms: Some(ttl_ms) } => {
                let ttl = std::time::Duration::from_millis(*ttl_ms);
                $call!($on, |store| store.set_with_ttl($name(at.group), at.key, value, ttl)).map(|_| 1)
            }
            Step::SetUntil { at, value, in_ms } => {
                let until = in_ms.map($until);
                $call!($on, |store| store.set_until($name(at.group), at.key, value, until)).map(|_| 1)
            }
            Step::SetIf { at, when, value, ttl_ms: None } => {
                let condition = $condition(at, *when);
                $call!($on, |store| store.set_if($name(at.group), at.key, condition, value)).map(|_| 1)
            }
            Step::SetIf { at, when, value, ttl_ms: Some(ttl_ms) } => {
                let (condition, ttl) = ($condition(at, *when), std::time::Duration::from_millis(*ttl_ms));
                $call!($on, |store| store.set_if_with_ttl($name(at.group), at.key, condition, value, ttl))
                    .map(|_| 1)
            }
            Step::Touch { at, ttl_ms } => {
                let ttl = std::time::Duration::from_millis(*ttl_ms);
                $call!($on, |store| store.touch($name(at.group), at.key, ttl)).map(i64::from)
            }
            Step::Persist { at } => {
                $call!($on, |store| store.persist($name(at.group), at.key)).map(i64::from)
            }
            Step::Increment { at, by } => $call!($on, |store| store.increment($name(at.group), at.key, *by)),
            Step::Delete { at } => $call!($on, |store| store.delete($name(at.group), at.key)).map(i64::from),
            Step::DeleteIf { at, when } => {
                let condition = $condition(at, *when);
                $call!($on, |store| store.delete_if($name(at.group), at.key, condition)).map(i64::from)
            }
            Step::DeleteGroup { group } => {
                $call!($on, |store| store.delete_group($name(group))).map(|count| count.cast_signed())
            }
            Step::DeletePrefix { prefix } => {
                $call!($on, |store| store.delete_prefix($name(prefix))).map(|count| count.cast_signed())
            }
        }
    };
}
