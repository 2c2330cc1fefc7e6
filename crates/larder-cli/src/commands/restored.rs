//! `larder restored`: tells every client that the cluster was restored from a snapshot.

use serde_json::json;

use crate::arguments::Place;
use crate::failure::Failure;
use crate::output::Output;

pub fn run(place: &Place, output: &mut Output) -> Result<(), Failure> {
    if !place.store.as_os_str().as_encoded_bytes().starts_with(b"etcd:") {
        return Err(Failure::Usage("`larder restored` is about a store on a cluster".into())
            .advise("Name it, as in --store etcd://db1:2379,db2:2379,db3:2379/app."));
    }
    let store = place.whole("restored")?.changing()?.whole;
    store.note_restored()?;
    let identity = store.token()?.store().to_owned();
    let words = format!(
        "the store is {identity} from now on; resume tokens from before are refused, and watchers begin anew"
    );
    output.answer(&json!({ "identity": identity }), &words, Some(&identity))
}
