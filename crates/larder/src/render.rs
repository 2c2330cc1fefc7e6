//! Templates.

mod filling;
mod limits;
mod names;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use minijinja::UndefinedBehavior;

use self::names::Names;
use crate::data::{Error, Result, Value};
use crate::store::View;

/// How long a rendering may take. What its fuel allows takes a tenth of that at the most.
const PATIENCE: Duration = Duration::from_secs(5);

impl View {
    /// Fills in a template with the keys of a group. Names that are not there are empty.
    ///
    /// The language is that of [minijinja](https://docs.rs/minijinja), which is Jinja2's: a key is a
    /// name (`{{ host }}`), a dotted key can be reached by its parts (`{{ server.port }}`), and
    /// `get` reaches any key of this group (`{{ get("max-age") }}`) or another
    /// (`{{ get("mail", "host") }}`). On a scoped store it reaches the namespace's groups only. A
    /// template reads no files and includes no others, and what it may use of memory and time is
    /// bounded: by steps, and, since there are ways around those (adding a list to itself dozens of
    /// times is one), by five seconds, after which the call fails.
    ///
    /// The group is read at one moment, every other group when the template asks. To have all from
    /// one moment, render from a [`Snapshot`](crate::Snapshot).
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("web", "server.port", "8080")?;
    /// store.set("web", "hosts", "a,b")?;
    /// store.set("mail", "host", "smtp.example.com")?;
    /// let template = "listen {{ server.port }}\
    ///     {% for host in hosts|split(',') %} {{ host }}{% endfor %} via {{ get('mail', 'host') }}{{ absent }}";
    /// assert_eq!(store.render(template, "web")?, "listen 8080 a b via smtp.example.com");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read, [`Error::TooLarge`] for a template of more than 256 KiB, and [`Error::Template`], with
    /// the line, where the template is not well-formed, calls what cannot be called, asks for a value
    /// that is not UTF-8, or takes too much.
    pub fn render(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        self.render_with(template.as_ref(), group.as_ref(), UndefinedBehavior::Chainable)
    }

    /// As [`render`](Self::render), but a name that is not there is an error.
    ///
    /// # Errors
    /// As [`render`](Self::render), and [`Error::Template`] where a name is not there.
    pub fn render_strict(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        self.render_with(template.as_ref(), group.as_ref(), UndefinedBehavior::Strict)
    }

    /// Renders on a thread of its own, whose stack is deep enough for the template and which can be given
    /// up, and reads here what it asks for: a view need not leave the thread that it is on.
    fn render_with(&self, template: &str, group: &str, undefined: UndefinedBehavior) -> Result<String> {
        limits::check(template)?;
        let names = Names::of(&self.get_all(group)?);
        let (messages, inbox) = mpsc::channel();
        let text = template.to_owned();
        let render = move || {
            let asking = messages.clone();
            let fetch = move |group, key| {
                let (reply, answer) = mpsc::channel();
                // Nobody is there any more once the call was given up.
                asking.send(Message::Fetch { group, key, reply }).map_err(|_| given_up())?;
                answer.recv().map_err(|_| given_up())?
            };
            let rendered = filling::fill_in(&text, names, undefined, fetch);
            let _ = messages.send(Message::Done(rendered));
        };
        let builder =
            thread::Builder::new().name("larder-render".into()).stack_size(limits::stack_bytes(template));
        if let Err(error) = builder.spawn(render) {
            let reason = format!("the system gives no thread to render it on: {error}");
            return Err(Error::Template { line: None, reason });
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Done(rendered)) => return rendered,
                Ok(Message::Fetch { group: of, key, reply }) => {
                    // The thread waits for it, unless it has panicked.
                    let _ = reply.send(self.get(of.as_deref().unwrap_or(group), key));
                }
                Err(RecvTimeoutError::Timeout) => return Err(given_up()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Template { line: None, reason: "rendering it panicked".into() });
                }
            }
        }
    }
}

/// What the rendering thread has to say.
enum Message {
    /// It needs a value: of this group, or of the template's own.
    Fetch {
        group: Option<String>,
        key: String,
        reply: mpsc::Sender<Result<Option<Value>>>,
    },
    Done(Result<String>),
}

fn given_up() -> Error {
    let reason = format!("it takes more than {PATIENCE:?}, so something in it grows without end");
    Error::Template { line: None, reason }
}
