//! How large an answer of a cluster may be.

/// The most bytes of one answer. tonic makes room for as many as an answer says that it has, before they are there, and
/// an answer can say up to 4 GiB. A page of a scan has about two million bytes, and ten thousand values of the size that
/// etcd allows could have more than this only if 64 small ones came before them.
pub const ANSWER_BYTES_MAX: usize = 1 << 30;
