//! Templates.

mod expressions;
mod filling;
mod kinds;
mod limits;
mod names;
mod reads;
mod rewriting;
mod template_value;
mod tokens;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use minijinja::UndefinedBehavior;

use self::names::Names;
pub use self::reads::Reads;
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
    /// Every value is text, whatever it says and whichever other keys begin with its name. Read it with
    /// `|int` or `|float` as a number, with `|bool` as true or false (`true`, `yes`, `on`, `1`; `false`, `no`,
    /// `off`, `0` or empty), with `|fromjson` as a list or whatever else JSON has, with `|split(",")` as a
    /// list. Without that, `port > 1024` compares text with a number, by kind, and is true for any port.
    ///
    /// A key named like a function (`get`, `range`) does not take it away: what is called is the function, and
    /// what is not called is the key.
    ///
    /// The group is read at one moment, every other group when the template asks. To have all from
    /// one moment, render from a [`Snapshot`](crate::Snapshot).
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("web", "server.port", "8080")?;
    /// store.set("web", "tls", "off")?;
    /// store.set("web", "hosts", "a,b")?;
    /// store.set("mail", "host", "smtp.example.com")?;
    /// let template = "listen {{ server.port|int + (1 if tls|bool else 0) }}\
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
        self.render_recording(template, group, false, &mut Reads::default())
    }

    /// Fills in a template as [`render`](Self::render) does, and refuses what would quietly go wrong:
    ///
    /// - a name that is not there;
    /// - a comparison between kinds, such as `port > 1024`, `debug == false` or `port in [80, 443]` where
    ///   these are keys (`== none` can be asked of anything);
    /// - a condition that is text which says no (`false`, `no`, `off`, `0`), since any text counts as true;
    /// - a loop through text, which would go through its characters.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("web", "port", "80")?;
    /// assert!(store.render_strict("{% if port > 1024 %}high{% endif %}", "web").is_err());
    /// let template = "{% if port|int > 1024 %}high{% else %}low{% endif %}";
    /// assert_eq!(store.render_strict(template, "web")?, "low");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`render`](Self::render), and [`Error::Template`] for all of these.
    pub fn render_strict(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        self.render_recording(template, group, true, &mut Reads::default())
    }

    /// Fills in a template as [`render`](Self::render) does, or [`render_strict`](Self::render_strict), and
    /// notes in `reads` what it has read: the whole group, and each key that the template has asked `get` for.
    /// Where it fails, that is all that it had read by then. Any other change leaves the result as it is.
    ///
    /// ```
    /// # use larder::{Pattern, Reads};
    /// # let store = larder::Store::in_memory()?;
    /// let watcher = store.watch(Pattern::all())?;
    /// let mut reads = Reads::default();
    /// let template = "{{ user }}@{{ get('mail', 'host') }}";
    /// store.render_recording(template, "me", false, &mut reads)?;
    /// store.set("mail", "port", "25")?;
    /// store.set("mail", "host", "example.com")?;
    /// assert!(!reads.matches(&watcher.recv()?));
    /// assert!(reads.matches(&watcher.recv()?));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`render`](Self::render) or [`render_strict`](Self::render_strict).
    pub fn render_recording(
        &self,
        template: impl AsRef<str>,
        group: impl AsRef<str>,
        is_strict: bool,
        reads: &mut Reads,
    ) -> Result<String> {
        let undefined = if is_strict { UndefinedBehavior::Strict } else { UndefinedBehavior::Chainable };
        self.render_with(template.as_ref(), group.as_ref(), undefined, reads)
    }

    /// Renders on a thread of its own, whose stack is deep enough for the template and which can be given
    /// up, and reads here what it asks for: a view need not leave the thread that it is on.
    fn render_with(
        &self,
        template: &str,
        group: &str,
        undefined: UndefinedBehavior,
        reads: &mut Reads,
    ) -> Result<String> {
        reads.add_group(group);
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
                    let of = of.as_deref().unwrap_or(group);
                    reads.add_key(of, &key);
                    // The thread waits for it, unless it has panicked.
                    let _ = reply.send(self.get(of, key));
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
