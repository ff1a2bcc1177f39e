//! Loads in tasks belong to the spans of their callers.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tokio::time::sleep;
use tracing::Instrument as _;

use crate::world::World;
use crate::{Down, minute, ms};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_loader_tells_stands_in_the_span_of_its_caller() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (cache, entry) = (World::new().cache(), minute());
    let load = || async {
        sleep(ms(5)).await;
        tracing::info!("it is loaded");
        Ok::<_, Down>(1)
    };
    let call = cache.get_or_set("k", &entry, load);
    let value = call.instrument(tracing::info_span!("caller", of = 7)).await;
    assert_eq!(value, Ok(1));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let told = text.lines().find(|line| line.contains("it is loaded"));
    assert!(told.unwrap().contains("caller{of=7}"), "{text}");
}
