//! The value of an entry.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::error::{Error, Result};
use super::found::Found;

/// The value of an entry: a sequence of bytes, often text. A clone shares the bytes.
///
/// A value is made from text or bytes and can be read as either. Values compare, sort and hash as their bytes,
/// and a value compares with text and bytes directly:
///
/// ```
/// use larder::Value;
///
/// let port = Value::from("587");
/// assert_eq!(port, "587");
/// assert_eq!(port.as_str(), Some("587"));
/// assert_eq!(port.parse::<u16>()?, 587);
///
/// let picture = Value::from(vec![0xff, 0xd8]);
/// assert_eq!(picture.as_bytes(), [0xff, 0xd8]);
/// assert_eq!(picture.as_str(), None);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone)]
pub struct Value(Content);

#[derive(Clone)]
enum Content {
    Bytes(Bytes),
    /// The value part of what a read found, without a copy.
    Found(Found),
}

impl Value {
    /// Returns the bytes.
    ///
    /// ```
    /// assert_eq!(larder::Value::from("blue").as_bytes(), b"blue");
    /// ```
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Content::Bytes(bytes) => bytes,
            Content::Found(found) => found.value(),
        }
    }

    /// Returns the text, or `None` if the bytes are not UTF-8.
    ///
    /// ```
    /// use larder::Value;
    /// assert_eq!(Value::from("blue").as_str(), Some("blue"));
    /// assert_eq!(Value::from(b"\xff").as_str(), None);
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }

    /// Returns the text, with U+FFFD instead of whatever is not UTF-8.
    ///
    /// ```
    /// assert_eq!(larder::Value::from(b"caf\xff").to_string_lossy(), "caf\u{fffd}");
    /// ```
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// Returns the number of bytes.
    ///
    /// ```
    /// assert_eq!(larder::Value::from("café").len(), 5);
    /// ```
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns whether there are no bytes.
    ///
    /// ```
    /// assert!(larder::Value::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Parses the text as a number, a `bool`, an address or any other [`FromStr`] type.
    ///
    /// ```
    /// use larder::{Error, Value};
    /// assert_eq!(Value::from("587").parse::<u16>()?, 587);
    /// assert!(matches!(Value::from("many").parse::<u16>(), Err(Error::Unreadable { .. })));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the value is not UTF-8 or `T` does not accept the text. Its reason is what `T` says.
    pub fn parse<T>(&self) -> Result<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text = self.text()?;
        text.parse().map_err(|error: T::Err| Error::Unreadable {
            wanted: std::any::type_name::<T>(),
            reason: error.to_string(),
        })
    }

    /// Deserializes the value from JSON.
    ///
    /// ```
    /// let ports: Vec<u16> = larder::Value::from("[25, 587]").json()?;
    /// assert_eq!(ports, [25, 587]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the value is not JSON, or not the JSON of a `T`. The error says where, and does not quote
    /// the value.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.as_bytes()).map_err(|error| Error::Unreadable {
            wanted: std::any::type_name::<T>(),
            reason: match error.classify() {
                // What serde says quotes the value.
                Category::Data => {
                    format!("it is JSON of another kind, at line {} column {}", error.line(), error.column())
                }
                Category::Syntax | Category::Eof | Category::Io => error.to_string(),
            },
        })
    }

    /// Serializes a value as JSON.
    ///
    /// ```
    /// use larder::Value;
    ///
    /// assert_eq!(Value::from_json(&[80, 443])?, "[80,443]");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unwritable`] if JSON cannot express the value.
    pub fn from_json(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        let json = serde_json::to_vec(value);
        json.map(Self::from).map_err(|error| Error::Unwritable { source: Arc::new(error) })
    }

    /// Returns the parts of the text between `separator`. `a,b` split at `,` has the parts `a` and `b`; an empty text
    /// has one empty part. An empty separator splits the text into its characters.
    ///
    /// ```
    /// use larder::Value;
    ///
    /// assert_eq!(Value::from("a,b,").split(",")?, ["a", "b", ""]);
    /// assert_eq!(Value::from("añb").split("")?, ["a", "ñ", "b"]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the value is not UTF-8.
    pub fn split(&self, separator: &str) -> Result<Vec<String>> {
        let text = self.text()?;
        Ok(if separator.is_empty() {
            text.chars().map(String::from).collect()
        } else {
            text.split(separator).map(str::to_owned).collect()
        })
    }

    /// Returns the words of the text, which are separated by white space.
    ///
    /// ```
    /// use larder::Value;
    ///
    /// assert_eq!(Value::from(" a  b ").fields()?, ["a", "b"]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the value is not UTF-8.
    pub fn fields(&self) -> Result<Vec<String>> {
        Ok(self.text()?.split_whitespace().map(str::to_owned).collect())
    }

    /// Returns the text.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the value is not UTF-8.
    pub(crate) fn text(&self) -> Result<&str> {
        std::str::from_utf8(self.as_bytes())
            .map_err(|error| Error::Unreadable { wanted: "text", reason: error.to_string() })
    }

    /// Returns the bytes without copying them.
    ///
    /// ```
    /// assert_eq!(larder::Value::from("blue").into_bytes(), "blue");
    /// ```
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Content::Bytes(bytes) => bytes,
            Content::Found(_) => Bytes::from_owner(self),
        }
    }
}

/// Shows how long the value is, and not what it is: it may be a secret, and `Debug` output ends up in logs. Equal values
/// show the same number, another in each process, so that nobody finds a short value by trying.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        write!(f, "Value({} bytes #{:016x})", self.len(), KEY.hash_one(self.as_bytes()))
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl From<Found> for Value {
    #[inline]
    fn from(found: Found) -> Self {
        Self(Content::Found(found))
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::from(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Bytes(bytes))
    }
}

impl From<&Value> for Value {
    fn from(value: &Value) -> Self {
        value.clone()
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<String> for Value {
    fn eq(&self, other: &String) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<[u8]> for Value {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_bytes() == other
    }
}

impl PartialEq<&[u8]> for Value {
    fn eq(&self, other: &&[u8]) -> bool {
        self.as_bytes() == *other
    }
}

impl PartialEq<Vec<u8>> for Value {
    fn eq(&self, other: &Vec<u8>) -> bool {
        self.as_bytes() == other.as_slice()
    }
}
