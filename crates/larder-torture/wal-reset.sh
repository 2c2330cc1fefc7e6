#!/usr/bin/env bash
# Plants SQLite's WAL-reset fault (fixed in 3.51.3) and runs the simulator over it: a checkpoint no longer looks whether the
# log has started over since it read the WAL index. The arguments are those of the simulator:
#
#     crates/larder-torture/wal-reset.sh --seed 0 --seeds 1000
set -euo pipefail
cd "$(dirname "$0")/../.."

manifest=$(cargo metadata --format-version 1 --locked | python3 -c '
import json, sys
packages = json.load(sys.stdin)["packages"]
print(next(package["manifest_path"] for package in packages if package["name"] == "libsqlite3-sys"))')
folder=$(mktemp -d)
cp Cargo.lock "$folder/"
# The patch makes Cargo write another lock file.
trap 'cp "$folder/Cargo.lock" Cargo.lock; rm -rf -- "$folder"' EXIT
cp -r -- "$(dirname "$manifest")" "$folder/sqlite"
source="$folder/sqlite/sqlite3/sqlite3.c"
check='int bChg = memcmp(pLive->aSalt, pWal->hdr.aSalt, sizeof(pWal->hdr.aSalt));'
if [ "$(grep -cF "$check" "$source")" != 1 ]; then
    echo "this version of SQLite makes the check in another way: $source" >&2
    exit 1
fi
sed -i "s/int bChg = memcmp(pLive->aSalt, .*;/int bChg = 0;/" "$source"
cargo build --release -p larder-torture --target-dir target/wal-reset \
    --config "patch.crates-io.libsqlite3-sys.path=\"$folder/sqlite\""
target/wal-reset/release/larder-torture simulator "$@"
