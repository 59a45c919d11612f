//! Callers that block, and the asynchronous work that they wait for.
//!
//! # Invariants
//! Nobody waits much longer than the program is to run, and nothing is waited for when the runtime is dropped: a name that
//! is looked up cannot be cancelled.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::base::Ending;

/// How often it is looked whether the program is to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long is still waited then: as long as a mount that is to end lets files be read on.
const GRACE: Duration = Duration::from_secs(2);

/// The runtime of all that is asked of registries. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Blocking {
    runtime: Arc<Background>,
    ending: Ending,
    /// When this caller wants no more.
    stop: Ending,
}

/// A runtime whose work nobody waits for when it is dropped.
struct Background(Option<Runtime>);

impl Blocking {
    /// A runtime of its own.
    ///
    /// # Errors
    /// When no threads can be started.
    pub fn start(ending: Ending) -> io::Result<Self> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("registry").enable_all().build()?;
        Ok(Self { runtime: Arc::new(Background(Some(runtime))), ending, stop: Ending::default() })
    }

    /// The same for a caller that wants no more when `stop` is near.
    pub fn until(self, stop: &Ending) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// What `work` comes to; nothing when the program is to end before, or the caller wants no more.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.runtime().block_on(async {
            tokio::select! {
                biased;
                () = near(&self.stop) => None,
                done = work => Some(done),
                () = self.ended() => None,
            }
        })
    }

    /// Waits for some time; whether the program goes on.
    pub fn pause(&self, time: Duration) -> bool {
        self.runtime().block_on(async {
            tokio::select! {
                biased;
                () = near(&self.stop) => false,
                () = near(&self.ending) => false,
                () = tokio::time::sleep(time) => true,
            }
        })
    }

    /// Has work done while the caller goes on.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(work);
    }

    /// Returns when the program is to end and had some time for it.
    async fn ended(&self) {
        near(&self.ending).await;
        tokio::time::sleep(GRACE).await;
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.0.as_ref().expect("it is taken out only when the last owner drops it")
    }
}

async fn near(ending: &Ending) {
    while !ending.is_near() {
        tokio::time::sleep(LOOK).await;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}
