//! Templates.

mod arguments;
mod arithmetic;
mod checks;
mod comparing;
mod fault;
mod filters;
mod functions;
mod key;
mod kinds;
mod lexer;
mod limits;
mod machine;
mod meter;
mod names;
mod number;
mod parser;
mod printing;
mod reads;
mod syntax;
mod value;
mod walk;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use self::fault::Fault;
use self::machine::Machine;
use self::names::Names;
pub use self::reads::Reads;
use crate::data::{Error, Result, Value};
use crate::store::View;

impl View {
    /// Fills in a template with the keys of a group. Names that are not there are empty.
    ///
    /// The language is that of [Jinja](https://jinja.palletsprojects.com/templates/): a key is a
    /// name (`{{ host }}`), a dotted key can be reached by its parts (`{{ server.port }}`), and
    /// `get` reaches any key of this group (`{{ get("max-age") }}`) or another
    /// (`{{ get("mail", "host") }}`). On a scoped store it reaches the namespace's groups only. A
    /// template reads no files and includes no others.
    ///
    /// # What a template may use
    /// Anyone may write a template. Whatever it says, it does not end the process, and leaves no thread behind:
    ///
    /// | | at most |
    /// |---|---|
    /// | the template | 256 KiB, brackets and blocks 150 deep |
    /// | steps: parts of expressions, statements and elements, and each 64 bytes that are searched or compared | 1,000,000 |
    /// | bytes that it makes, in its output and in values on the way to it | 64 MiB, counted before they are allocated |
    /// | values within values | 128 deep |
    /// | macros and loops that call themselves | 800 levels of blocks, brackets and calls |
    /// | time | 5 s, reads of the store included |
    ///
    /// A value that grows is copied to a larger place, so a rendering holds at most three times the 64 MiB, beside
    /// the group that it renders. A read of the store is not ended in its middle: it takes as long as any read.
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
    /// that is not UTF-8, or uses more than it may.
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
        let (template, group) = (template.as_ref(), group.as_ref());
        limits::check(template)?;
        reads.add_group(group);
        let names = Names::of(&self.get_all(group)?);
        let (requests, inbox) = mpsc::channel::<Request>();
        thread::scope(|scope| {
            // A thread of its own has a stack that is deep enough, whichever thread calls. It ends before this
            // call does. It reads through the caller's thread: a view need not leave it.
            let render = move || evaluate(template, names, is_strict, &requests);
            let builder = thread::Builder::new().name("larder-render".into()).stack_size(limits::STACK_BYTES);
            let thread = builder.spawn_scoped(scope, render).map_err(|error| {
                let reason = format!("the system gives no thread to render it on: {error}");
                Error::Template { line: None, reason }
            })?;
            for Request { group: of, key, reply } in inbox {
                let of = of.as_deref().unwrap_or(group);
                reads.add_key(of, &key);
                // The thread waits for it.
                let _ = reply.send(self.get(of, key));
            }
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Asks the caller's thread for a value: of this group, or of the template's own.
struct Request {
    group: Option<String>,
    key: String,
    reply: mpsc::Sender<Result<Option<Value>>>,
}

fn evaluate(
    template: &str,
    names: Arc<Names>,
    is_strict: bool,
    requests: &mpsc::Sender<Request>,
) -> Result<String> {
    let fetch = |group: Option<&str>, key: &str| {
        let (reply, answer) = mpsc::channel();
        let gone = |_| Error::Closed;
        let request = Request { group: group.map(str::to_owned), key: key.to_owned(), reply };
        requests.send(request).map_err(|_| Error::Closed)?;
        answer.recv().map_err(gone)?
    };
    let template = parser::parse(template).map_err(Fault::into_error)?;
    Machine::new(names, is_strict, &fetch).run(&template).map_err(Fault::into_error)
}
