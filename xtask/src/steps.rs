//! Shows on stderr which step a task is at, of how many, and how long each took. stdout belongs to the task's answer.

use std::time::Instant;

/// The steps of one task. Dropping it ends the last one.
pub(crate) struct Steps {
    total: usize,
    begun: usize,
    step_began: Option<Instant>,
}

impl Steps {
    /// A task of `total` steps, none of them begun.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, begun: 0, step_began: None }
    }

    /// Ends the step before and begins the next one; `action` is what it does, in the imperative.
    pub(crate) fn next(&mut self, action: &str) {
        self.end();
        self.begun += 1;
        debug_assert!(self.begun <= self.total, "invariant: a task counts its steps");
        eprintln!("[{}/{}] {action}", self.begun, self.total);
        self.step_began = Some(Instant::now());
    }

    fn end(&mut self) {
        if let Some(began) = self.step_began.take() {
            eprintln!("[{}/{}] done, {:.1} s", self.begun, self.total, began.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        // A step that failed is not reported as done: its error is printed instead.
        if self.begun == self.total && !std::thread::panicking() {
            self.end();
        }
    }
}
