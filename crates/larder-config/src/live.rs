//! A typed configuration that follows a group.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use config::builder::DefaultState;
use config::{Config, ConfigBuilder, ConfigError};
use larder::{Error, Pattern, Store, Watcher};
use serde::de::DeserializeOwned;

use crate::Group;
use crate::follower::{Follower, foreign};
use crate::held::Held;

/// A typed configuration that follows a group. After a change of the group, by this process or another one,
/// it reloads, and [`current`](Self::current) returns the new configuration.
///
/// A change that does not fit the type has no effect: the last valid configuration stays,
/// [`last_error`](Self::last_error) returns the reason, and `tracing` gets a warning, until the next valid
/// change. If the store cannot be read, the reload is retried every second.
///
/// ```
/// use std::time::Duration;
/// use larder::Store;
/// use larder_config::Live;
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     port: u16,
/// }
///
/// let store = Store::in_memory()?;
/// store.set("web", "port", "8080")?;
/// let live = Live::<Settings>::new(&store, "web")?;
/// let settings = live.current();
/// assert_eq!(settings.port, 8080);
///
/// store.set("web", "port", "8443")?;
/// let settings = live.wait_for_change(&settings, Duration::from_secs(5)).unwrap();
/// assert_eq!(settings.port, 8443);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A `Live` has its own thread, which sleeps until the group changes. All changes that arrive during a reload
/// cause one more reload. Share a `Live` in an [`Arc`]. It keeps the store open, like a clone. Once the store
/// is closed, the last configuration stays. Dropping the `Live` ends the thread, after a reload in progress.
pub struct Live<T> {
    held: Arc<Held<T>>,
    watcher: Arc<Watcher>,
    thread: Option<JoinHandle<()>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Live<T> {
    /// Follows a group, of a store or a scoped store, without other sources.
    ///
    /// # Errors
    /// [`ConfigError`] if the current values do not fit the type or cannot be read: see [`Group`].
    pub fn new<S>(store: &Store<S>, group: impl Into<String>) -> Result<Self, ConfigError> {
        Self::layered(store, group, |group| Ok(Config::builder().add_source(group)))
    }

    /// Follows a group among other sources. `layers` adds the sources below and above the group. It is called
    /// for every reload, so files and the environment are read again too, but only changes of the group cause
    /// a reload.
    ///
    /// ```
    /// use config::{Config, Environment};
    /// use larder_config::Live;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Settings {
    ///     port: u16,
    ///     workers: u32,
    /// }
    ///
    /// let store = larder::Store::in_memory()?;
    /// store.set("web", "port", "8443")?;
    /// let live = Live::<Settings>::layered(&store, "web", |group| {
    ///     Ok(Config::builder()
    ///         .set_default("port", 8080)?
    ///         .set_default("workers", 4)?
    ///         .add_source(group)
    ///         .add_source(Environment::with_prefix("APP")))
    /// })?;
    /// assert_eq!(live.current().port, 8443);
    /// assert_eq!(live.current().workers, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`new`](Self::new), and those of `layers`.
    pub fn layered<S>(
        store: &Store<S>,
        group: impl Into<String>,
        mut layers: impl FnMut(Group) -> Result<ConfigBuilder<DefaultState>, ConfigError> + Send + 'static,
    ) -> Result<Self, ConfigError> {
        let name = group.into();
        // Watch before reading, so that no change is missed in between.
        let watcher = Arc::new(store.watch(Pattern::group(&name)).map_err(foreign)?);
        let group = Group::new(store, &name);
        let mut load = move || layers(group.clone())?.build()?.try_deserialize();
        let held = Arc::new(Held::new(load()?));
        let follower = Follower { watcher: Arc::clone(&watcher), held: Arc::clone(&held), load, group: name };
        let thread = thread::Builder::new()
            .name("larder-config".into())
            .spawn(|| follower.run())
            .map_err(|error| foreign(Error::other(error)))?;
        Ok(Self { held, watcher, thread: Some(thread) })
    }
}

impl<T> Live<T> {
    /// Returns the current configuration. It only copies a pointer and never waits for a reload. Read
    /// settings that belong together from one returned value.
    pub fn current(&self) -> Arc<T> {
        self.held.current()
    }

    /// Returns why the last reload failed; `None` if it succeeded. [`ConfigError::Foreign`] with
    /// [`larder::Error::Closed`] means that the store was closed and the group is no longer followed.
    pub fn last_error(&self) -> Option<Arc<ConfigError>> {
        self.held.error()
    }

    /// Waits up to `timeout` for another configuration than `known`, and returns it; `None` if there was none
    /// in time. Returns at once if the configuration has already changed. So a caller that passes each
    /// returned configuration to the next call always gets the latest one, but may skip some in between.
    ///
    /// Every successful reload counts as a change, even if all settings are equal.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn listen(port: u16) {}
    /// # #[derive(serde::Deserialize)] struct Settings { port: u16 }
    /// # let live = larder_config::Live::<Settings>::new(&larder::Store::in_memory()?, "web")?;
    /// let mut settings = live.current();
    /// loop {
    ///     listen(settings.port);
    ///     if let Some(next) = live.wait_for_change(&settings, Duration::from_secs(60)) {
    ///         settings = next;
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_change(&self, known: &Arc<T>, timeout: Duration) -> Option<Arc<T>> {
        self.held.wait_for_change(known, timeout)
    }
}

impl<T> Drop for Live<T> {
    fn drop(&mut self) {
        self.held.stop();
        self.watcher.close();
        if let Some(thread) = self.thread.take() {
            // Waits, so that the store is released when this returns. A panic of the thread was already
            // printed.
            let _ = thread.join();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("current", &self.current()).finish_non_exhaustive()
    }
}
