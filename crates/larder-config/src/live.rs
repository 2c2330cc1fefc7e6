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

/// A typed configuration that follows a group: whoever changes the group, in this process or in another
/// one, the next [`current`](Self::current) after it has been read is the new one.
///
/// What does not fit the type never comes into force: the last good configuration stays,
/// [`last_error`](Self::last_error) says why, and a warning goes to `tracing`. The next change that fits
/// ends that. A store that cannot be read is tried again every second.
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
/// It has a thread of its own, which sleeps until the group changes. However many changes come while
/// one is being read, they are read at once. Share a `Live` in an [`Arc`]; it keeps the store open as a
/// clone of it does. Once the store is closed the last configuration stays. Dropping the `Live` ends
/// the thread, after the read that it may be about to finish.
pub struct Live<T> {
    held: Arc<Held<T>>,
    watcher: Arc<Watcher>,
    thread: Option<JoinHandle<()>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Live<T> {
    /// Follows a group by itself. The store may be a scoped one.
    ///
    /// # Errors
    /// [`ConfigError`] where what is there now does not fit the type, or cannot be read: see [`Group`].
    pub fn new<S>(store: &Store<S>, group: impl Into<String>) -> Result<Self, ConfigError> {
        Self::layered(store, group, |group| Ok(Config::builder().add_source(group)))
    }

    /// Follows a group among other sources: `layers` says what lies below it and what above. It is
    /// called for each reload, so that files and the environment are read again too; but only changes
    /// of the group set one off.
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
    /// As [`new`](Self::new), and what `layers` fails with.
    pub fn layered<S>(
        store: &Store<S>,
        group: impl Into<String>,
        mut layers: impl FnMut(Group) -> Result<ConfigBuilder<DefaultState>, ConfigError> + Send + 'static,
    ) -> Result<Self, ConfigError> {
        let name = group.into();
        // First watched and then read, so that no change falls in between.
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
    /// The configuration that is in force. It costs a pointer, and never waits for a reload; whoever
    /// needs several settings that belong together takes them from one.
    pub fn current(&self) -> Arc<T> {
        self.held.current()
    }

    /// Why the latest change is not in force; `None` where it is. [`ConfigError::Foreign`] with
    /// [`larder::Error::Closed`] means that the store was closed, and that nothing is followed any more.
    pub fn last_error(&self) -> Option<Arc<ConfigError>> {
        self.held.error()
    }

    /// The next configuration after the one that the caller knows, waiting up to `timeout` for it;
    /// `None` where none came in time. It comes back at once where one has come already, so that a
    /// caller who goes from each to the next misses no change, though it may miss that there were two.
    ///
    /// A reload is a change even where it says the same as before.
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
        self.held.wait_for_other(known, timeout)
    }
}

impl<T> Drop for Live<T> {
    fn drop(&mut self) {
        self.held.stop();
        self.watcher.close();
        if let Some(thread) = self.thread.take() {
            // Waited for, so that the store is let go of when this returns. A panic of the thread was
            // printed where it happened.
            let _ = thread.join();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("current", &self.current()).finish_non_exhaustive()
    }
}
