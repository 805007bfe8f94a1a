//! Signals that ask a long run to stop. The program then finishes its step, keeps its state and ends with [`CODE`]; started again, it goes on.

use anyhow::{Context, Result};
use sconce_tensor_core::train::Stop;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The exit code of a run that was asked to stop (`EX_TEMPFAIL`): the same command goes on.
pub const CODE: u8 = 75;

/// How long a step may take to end. Then the program ends at once, as by a kill, which loses what was done since the last checkpoint. Engines
/// kill 30 seconds after they ask.
const GRACE: Duration = Duration::from_secs(20);

static STOP: OnceLock<Stop> = OnceLock::new();

/// From now on SIGTERM, SIGINT and SIGUSR1 ask the run to stop. A second SIGINT ends it at once.
///
/// # Errors
/// The system refuses handlers of signals.
pub fn listen() -> Result<()> {
    let stop = STOP.get_or_init(Stop::default).clone();
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
        use signal_hook::flag;
        // Whoever presses the keys twice means it. An engine that sends USR1 and TERM, or one of them twice, does not.
        let all = flag::register_conditional_shutdown(SIGINT, i32::from(CODE), stop.flag()).and_then(|_| {
            [SIGTERM, SIGINT, SIGUSR1].into_iter().try_for_each(|s| flag::register(s, stop.flag()).map(drop))
        });
        all.context("cannot listen to signals")?;
    }
    std::thread::Builder::new().name("stop".to_owned()).spawn(move || watch(&stop)).context("cannot start a thread")?;
    Ok(())
}

/// Whether a signal asked for it.
pub fn asked() -> bool {
    STOP.get().is_some_and(Stop::asked)
}

/// The wish, for a checkpoint; one that nobody asks for where nobody listens.
pub fn stop() -> Stop {
    STOP.get().cloned().unwrap_or_default()
}

/// Ends the process where its step does not end in time. Every file is written whole, so that nothing is damaged by that.
fn watch(stop: &Stop) {
    while !stop.asked() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let since = Instant::now();
    while since.elapsed() < GRACE {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::process::exit(i32::from(CODE));
}
