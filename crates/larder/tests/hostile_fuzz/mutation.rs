//! Changes to a store's file and its log that leave as much of them valid as possible.

use rusqlite::Connection;

use crate::random::Random;

const PAGE_BYTES: usize = 4096;
const FRAME_HEADER_BYTES: usize = 24;
const LOG_HEADER_BYTES: usize = 32;

impl Random {
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.place(all.len())]
    }
}

/// Changes the file itself, its log, or its rows.
pub fn mutate(random: &mut Random, file: &mut Vec<u8>, log: &mut Vec<u8>) {
    for _ in 0..1 + random.below(4) {
        if log.len() > LOG_HEADER_BYTES && random.one_in(2) {
            mutate_log(random, log);
        } else {
            mutate_pages(random, file);
        }
    }
}

fn mutate_pages(random: &mut Random, file: &mut Vec<u8>) {
    let pages = file.len() / PAGE_BYTES;
    if pages == 0 {
        return;
    }
    match random.below(12) {
        // The header of the file.
        0 => mutate_bytes(random, &mut file[16..100]),
        1 => {
            let (from, to) = (random.place(pages) * PAGE_BYTES, random.place(pages) * PAGE_BYTES);
            file.copy_within(from..from + PAGE_BYTES, to);
        }
        2 => {
            let (one, other) = (random.place(pages), random.place(pages));
            let copy = file[one * PAGE_BYTES..(one + 1) * PAGE_BYTES].to_vec();
            file.copy_within(other * PAGE_BYTES..(other + 1) * PAGE_BYTES, one * PAGE_BYTES);
            file[other * PAGE_BYTES..(other + 1) * PAGE_BYTES].copy_from_slice(&copy);
        }
        3 => file.truncate(random.place(file.len())),
        4 => file.extend(std::iter::repeat_n(random.next() as u8, random.place(3 * PAGE_BYTES))),
        _ => {
            let start = random.place(pages) * PAGE_BYTES;
            mutate_page(random, &mut file[start..start + PAGE_BYTES], pages);
        }
    }
}

/// Changes one page: its header, a pointer to a cell, a pointer to another page, or the content of a cell.
fn mutate_page(random: &mut Random, page: &mut [u8], pages: usize) {
    // The first page begins with the header of the file.
    let header = if page.starts_with(b"SQLite") { 100 } else { 0 };
    let is_inner = matches!(page[header], 2 | 5);
    let pointers = header + if is_inner { 12 } else { 8 };
    let cells: usize = u16::from_be_bytes([page[header + 3], page[header + 4]]).into();
    let cells = cells.min((page.len() - pointers) / 2);
    let some_page = (random.place(pages + 2) as u32).to_be_bytes();
    let pointer = pointers + 2 * random.place(cells.max(1));
    let cell: usize = u16::from_be_bytes([page[pointer], page[pointer + 1]]).into();
    match random.below(8) {
        0 => mutate_bytes(random, &mut page[header..header + 12]),
        1 => {
            let kind = *random.one_of(&[2, 5, 10, 13, 0]);
            page[header] = kind;
        }
        2 => {
            let place = (random.place(page.len()) as u16).to_be_bytes();
            page[pointer..pointer + 2].copy_from_slice(&place);
        }
        // All branches lead to one page.
        3 if is_inner && random.one_in(2) => {
            for pointer in (pointers..pointers + 2 * cells).step_by(2) {
                let cell: usize = u16::from_be_bytes([page[pointer], page[pointer + 1]]).into();
                if cell + 4 <= page.len() {
                    page[cell..cell + 4].copy_from_slice(&some_page);
                }
            }
            page[header + 8..header + 12].copy_from_slice(&some_page);
        }
        3 if is_inner => page[header + 8..header + 12].copy_from_slice(&some_page),
        4 if is_inner && cell + 4 <= page.len() => page[cell..cell + 4].copy_from_slice(&some_page),
        // The sizes at the beginning of a cell, and the types of its columns.
        5 | 6 if cell < page.len() => {
            let end = (cell + 1 + random.place(16)).min(page.len());
            mutate_bytes(random, &mut page[cell..end]);
        }
        // An overflow page begins with the number of the next one; a cell may end with one.
        7 => {
            let place = random.place(page.len() - 4);
            page[place..place + 4].copy_from_slice(&some_page);
        }
        _ => mutate_bytes(random, page),
    }
}

fn mutate_bytes(random: &mut Random, bytes: &mut [u8]) {
    if bytes.is_empty() {
        return;
    }
    let place = random.place(bytes.len());
    match random.below(4) {
        0 => bytes[place] ^= 1 << random.below(8),
        1 => bytes[place] = *random.one_of(&[0, 1, 0x7f, 0x80, 0xff, 0xfe, b'a']),
        2 => {
            let end = (place + 1 + random.place(8)).min(bytes.len());
            bytes[place..end].fill(*random.one_of(&[0, 0x7f, 0x80, 0xff]));
        }
        _ => {
            let end = (place + 1 + random.place(32)).min(bytes.len());
            bytes[place..end].fill_with(|| random.next() as u8);
        }
    }
}

/// Changes the log. With new check sums SQLite takes what was changed for what was written.
fn mutate_log(random: &mut Random, log: &mut Vec<u8>) {
    let frames = (log.len() - LOG_HEADER_BYTES) / (FRAME_HEADER_BYTES + PAGE_BYTES);
    let start = LOG_HEADER_BYTES + random.place(frames) * (FRAME_HEADER_BYTES + PAGE_BYTES);
    match random.below(6) {
        0 => mutate_bytes(random, &mut log[..LOG_HEADER_BYTES]),
        // The page that a frame is, and how many the file has after it.
        1 if frames > 0 => mutate_bytes(random, &mut log[start..start + 8]),
        2 => log.truncate(random.place(log.len())),
        _ if frames > 0 => {
            let page = &mut log[start + FRAME_HEADER_BYTES..start + FRAME_HEADER_BYTES + PAGE_BYTES];
            mutate_page(random, page, 20);
        }
        _ => {}
    }
    if random.below(8) > 0 {
        seal(log);
    }
}

/// Makes the check sums of a log right.
fn seal(log: &mut [u8]) {
    if log.len() < LOG_HEADER_BYTES {
        return;
    }
    let is_big = log[3] & 1 == 1;
    let salts: [u8; 8] = log[16..24].try_into().unwrap();
    let mut sums = summed([0, 0], &log[..24], is_big);
    log[24..28].copy_from_slice(&sums[0].to_be_bytes());
    log[28..32].copy_from_slice(&sums[1].to_be_bytes());
    for frame in log[LOG_HEADER_BYTES..].chunks_exact_mut(FRAME_HEADER_BYTES + PAGE_BYTES) {
        frame[8..16].copy_from_slice(&salts);
        sums = summed(sums, &frame[..8], is_big);
        sums = summed(sums, &frame[FRAME_HEADER_BYTES..], is_big);
        frame[16..20].copy_from_slice(&sums[0].to_be_bytes());
        frame[20..24].copy_from_slice(&sums[1].to_be_bytes());
    }
}

fn summed([mut one, mut other]: [u32; 2], bytes: &[u8], is_big: bool) -> [u32; 2] {
    for pair in bytes.chunks_exact(8) {
        let word = |start: usize| {
            let word = pair[start..start + 4].try_into().unwrap();
            if is_big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        one = one.wrapping_add(word(0)).wrapping_add(other);
        other = other.wrapping_add(word(4)).wrapping_add(one);
    }
    [one, other]
}

/// The columns of larder's tables. Those of the first table have any type.
const COLUMNS: &[(&str, &[&str])] = &[
    ("store", &["name", "content"]),
    ("entries", &["group_name", "entry_key", "entry_value", "expires_at", "revision"]),
    ("groups", &["group_name", "keys", "bytes"]),
    ("namespaces", &["namespace", "keys", "groups", "bytes", "max_keys", "max_groups", "max_bytes"]),
    (
        "changes",
        &[
            "change",
            "revision",
            "position",
            "kind",
            "group_name",
            "entry_key",
            "entry_value",
            "expires_at",
            "at",
            "logged_bytes",
        ],
    ),
    ("large_values", &["large_value", "content"]),
    ("cursors", &["cursor_name", "revision", "position", "moved_at", "pattern"]),
    (
        "histories",
        &[
            "prefix",
            "history",
            "max_changes",
            "max_bytes",
            "max_age",
            "pruned_changes",
            "pruned_bytes",
            "pruned_revision",
            "pruned_step",
        ],
    ),
];

const VALUES: &[&str] = &[
    "NULL",
    "0",
    "-1",
    "1",
    "2",
    "9223372036854775807",
    "-9223372036854775808",
    "281474976710656",
    "4294967296",
    "''",
    "'a'",
    "char(0)",
    "x'ff'",
    "CAST(x'ff80' AS TEXT)",
    "CAST(x'' AS TEXT)",
    "'tenant-42:a'",
    "'set'",
    "'delete_group'",
    "'expire'",
    "'['",
    "'**'",
    "zeroblob(70000)",
    "1.5",
    "1e300",
    "hex(randomblob(16))",
    "'\u{10ffff}'",
];

/// Changes some rows of a file that is closed, as far as SQLite lets it.
pub fn mutate_rows(random: &mut Random, connection: &Connection) {
    for _ in 0..1 + random.below(3) {
        let (table, columns) = random.one_of(COLUMNS);
        let (column, other) = (random.one_of(columns), random.one_of(columns));
        let value = random.one_of(VALUES);
        let some = ["1", "random() % 2", "random() % 9 = 0"][random.place(3)];
        let sql = match random.below(6) {
            0 => format!("DELETE FROM {table} WHERE {some}"),
            1 => format!("UPDATE OR IGNORE {table} SET {column} = {other} WHERE {some}"),
            2 => format!("UPDATE OR IGNORE {table} SET {column} = {column} + {value} WHERE {some}"),
            3 => format!("INSERT OR IGNORE INTO {table} SELECT * FROM {table} WHERE {some}"),
            _ => format!("UPDATE OR IGNORE {table} SET {column} = {value} WHERE {some}"),
        };
        // What a strict table refuses is not written.
        let _ = connection.execute_batch(&sql);
    }
}
