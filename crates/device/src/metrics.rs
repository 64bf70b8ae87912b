// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a device counts.
//!
//! A counter has one writer, the thread of its queue, and any number of readers. So counting is a load and a store without a
//! locked instruction, which on the way of each request would cost as much as all else that the base does there.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A figure with its name, as `queue0.chains`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// What was counted.
    pub name: String,
    /// How many.
    pub value: u64,
}

impl Figure {
    /// A figure.
    pub fn new(name: impl Into<String>, value: u64) -> Self {
        Self { name: name.into(), value }
    }
}

/// A number that one thread counts up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more. Only one thread may do so, or counts get lost.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// As it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the base counts for each queue, over all connections.
#[derive(Debug, Default)]
pub struct QueueCounters {
    /// Kicks of the driver, and wakes by the device itself.
    pub events: Counter,
    /// Chains that were handed to the device.
    pub chains: Counter,
    /// Chains that went back.
    pub used: Counter,
    /// Notifications that were sent to the driver.
    pub notified: Counter,
    /// Times that there was something to tell and the driver did not want to know.
    pub suppressed: Counter,
    /// Times that the queue was stopped for what its driver did.
    pub broken: Counter,
}

impl QueueCounters {
    /// As figures, named after the queue.
    pub fn figures(&self, queue: usize) -> Vec<Figure> {
        let named = |name, counter: &Counter| Figure::new(format!("queue{queue}.{name}"), counter.get());
        vec![
            named("events", &self.events),
            named("chains", &self.chains),
            named("used", &self.used),
            named("notified", &self.notified),
            named("suppressed", &self.suppressed),
            named("broken", &self.broken),
        ]
    }
}

/// Figures as one line of JSON.
pub fn line(figures: &[Figure]) -> String {
    let map: serde_json::Map<String, serde_json::Value> =
        figures.iter().map(|figure| (figure.name.clone(), figure.value.into())).collect();
    serde_json::Value::Object(map).to_string()
}
