//! Templates, awaited.

use super::view::AsyncView;
use crate::data::Result;

impl AsyncView {
    /// Renders a template with the keys of a group, on a blocking thread. Missing names are empty. [`View::render`](crate::View::render)
    /// describes the language and its limits. Two templates of one store are rendered at a time, and one of a
    /// namespace; others wait, and reads do not wait for any of them.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("web", "host", "example.com").await?;
    /// assert_eq!(store.render("Host: {{ host }}{{ absent }}", "web").await?, "Host: example.com");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read, [`Error::TooLarge`](crate::Error::TooLarge) for a template of more than 256 KiB, and
    /// [`Error::Template`](crate::Error::Template) if it is malformed, calls an unknown function, uses a value that is not
    /// UTF-8, or uses more than it may.
    ///
    /// # Cancellation
    /// If the future is dropped, the template is rendered to its end, and the result discarded.
    pub async fn render(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        let (template, group) = (template.as_ref().to_owned(), group.as_ref().to_owned());
        self.rendering(move |view| view.render(&template, group)).await
    }

    /// Renders a template as [`render`](Self::render) does, but fails if a name is missing.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("web", "host", "example.com").await?;
    /// assert!(store.render_strict("{{ host }}{{ absent }}", "web").await.is_err());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`render`](Self::render), and [`Error::Template`](crate::Error::Template) if a name is missing.
    ///
    /// # Cancellation
    /// If the future is dropped, the template is rendered to its end, and the result discarded.
    pub async fn render_strict(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        let (template, group) = (template.as_ref().to_owned(), group.as_ref().to_owned());
        self.rendering(move |view| view.render_strict(&template, group)).await
    }
}
