// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plots, as SVG. Sizes are chosen so that a plot is legible at the narrowest it gets, about 340 pixels.

use std::fmt::Write;

use super::escape;
use crate::report::{Comparison, Latency, Unit};
use crate::table;
use crate::target::Target;

/// A range of positive numbers, laid out by factors: twice as much is equally far everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The left or lower end.
    pub low: f64,
    /// The other end.
    pub high: f64,
}

impl Scale {
    /// From the least to the most of these, with some air; never empty.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let good = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = good.fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return Self { low: 0.5, high: 2.0 };
        }
        let air = (high / low).powf(0.05).max(1.02);
        Self { low: low / air, high: high * air }
    }

    /// Of all that the rows of a table show, and 1.
    pub fn of_ratios(rows: &[&Comparison]) -> Self {
        let ratios = rows.iter().filter_map(|row| row.ratio.as_ref());
        let ends = ratios.flat_map(|ratio| [ratio.low, ratio.high]);
        let targets = rows.iter().filter_map(|row| match row.target {
            Some(Target::Ratio { at_least }) if row.ratio.is_some() => Some(at_least),
            _ => None,
        });
        let Self { low, high } = Self::of(ends.chain(targets).chain([1.0]));
        // One ratio of 50 must not push all others into a corner: what is beyond is drawn at the end, as an arrow.
        Self { low: low.max(1.0 / MOST), high: high.min(MOST) }
    }

    /// Values that a reader knows, not more than fit, each with where it lies.
    pub fn ticks(&self) -> Vec<(f64, f64)> {
        const ALL: [f64; 9] = [0.33, 0.5, 0.75, 0.9, 1.0, 1.1, 1.5, 2.0, 3.0];
        let mut ticks: Vec<(f64, f64)> = vec![(1.0, self.at(1.0))];
        for value in ALL.into_iter().filter(|value| self.low <= *value && *value <= self.high) {
            let at = self.at(value);
            if ticks.iter().all(|(_, other)| (other - at).abs() > 0.12) {
                ticks.push((value, at));
            }
        }
        ticks
    }

    /// Whether a value is so far out that it is drawn at the end.
    fn is_beyond(&self, value: f64) -> bool {
        value < self.low || value > self.high
    }

    /// Where a value lies, from 0 to 1.
    pub fn at(&self, value: f64) -> f64 {
        ((value / self.low).ln() / (self.high / self.low).ln()).clamp(0.0, 1.0)
    }
}

/// Ratios up to this, and down to its inverse, are drawn where they are.
const MOST: f64 = 3.3;

/// The pairs, the interval and the median of one ratio, as wide as the page gives it.
pub fn interval(row: &Comparison, scale: &Scale) -> String {
    let mut svg =
        String::from("<svg viewBox=\"0 0 100 20\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"");
    let label = row
        .ratio
        .as_ref()
        .map_or("no ratio".into(), |r| format!("{:.2}, {:.2} to {:.2}", r.median, r.low, r.high));
    svg.push_str(&label);
    svg.push_str("\">");
    let x = |value: f64| scale.at(value) * 100.0;
    let mut tick = |class: &str, value: f64, top: u32, width: f64| {
        let x = x(value);
        let _ = write!(
            svg,
            "<path class=\"{class}\" d=\"M{x:.2} {top}V{}\" stroke-width=\"{width}\" vector-effect=\"non-scaling-stroke\"/>",
            20 - top
        );
    };
    scale.ticks().iter().for_each(|(value, _)| tick("axis", *value, 0, 1.0));
    tick("one", 1.0, 0, 1.0);
    if let Some(ratio) = &row.ratio {
        if let Some(Target::Ratio { at_least }) = row.target {
            tick("target", at_least, 0, 1.5);
        }
        if scale.is_beyond(ratio.median) {
            let (tip, base) = if ratio.median > 1.0 { (100, 97) } else { (0, 3) };
            let _ = write!(svg, "<path class=\"beyond\" d=\"M{base} 3L{tip} 10L{base} 17Z\"/>");
            return svg + "</svg>";
        }
        ratio.pairs.iter().for_each(|pair| tick("ours", *pair, 6, 0.7));
        tick("ours", ratio.median, 2, 3.0);
        let (from, to) = (x(ratio.low), x(ratio.high));
        let _ = write!(
            svg,
            "<path class=\"ours\" d=\"M{from:.2} 10H{to:.2}\" stroke-width=\"2\" vector-effect=\"non-scaling-stroke\"/>"
        );
    }
    svg + "</svg>"
}

/// Two latency curves. To the right each step halves, or so, the I/Os that took longer; upwards it goes by factors.
pub fn curves(latency: &Latency) -> String {
    const WIDTH: f64 = 340.0;
    const HEIGHT: f64 = 200.0;
    const LEFT: f64 = 48.0;
    const RIGHT: f64 = 20.0;
    const TOP: f64 = 10.0;
    const BOTTOM: f64 = 24.0;
    let scale = Scale::of(latency.ours.iter().chain(&latency.theirs).copied());
    let rarity = |percent: f64| -(1.0 - percent / 100.0).max(1e-6).ln();
    let most = latency.percentiles.iter().copied().map(rarity).fold(f64::MIN_POSITIVE, f64::max);
    let x = |percent: f64| LEFT + (WIDTH - LEFT - RIGHT) * (rarity(percent) / most);
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * scale.at(value);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"latency\">");
    for step in 0..=2 {
        let value = scale.low * (scale.high / scale.low).powf(f64::from(step) / 2.0);
        let (at, text) = (y(value), table::figure(Unit::Nanoseconds, value));
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {at:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            WIDTH - RIGHT,
            LEFT - 4.0,
            at + 4.0
        );
    }
    for percent in latency.percentiles.iter().filter(|p| [50.0, 90.0, 99.0, 99.9].contains(*p)) {
        let at = x(*percent);
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M{at:.1} {TOP}V{}\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{percent}%</text>",
            HEIGHT - BOTTOM,
            HEIGHT - 8.0
        );
    }
    for (class, values) in [("theirs", &latency.theirs), ("ours", &latency.ours)] {
        let points = latency.percentiles.iter().zip(values);
        let points: Vec<_> = points.map(|(p, value)| format!("{:.1},{:.1}", x(*p), y(*value))).collect();
        let _ =
            write!(svg, "<polyline class=\"{class}\" stroke-width=\"2\" points=\"{}\"/>", points.join(" "));
    }
    svg + "</svg>"
}

/// A bar for each, the first one ours.
pub fn bars(figures: &[(&str, f64)]) -> String {
    const WIDTH: f64 = 340.0;
    const LABEL: f64 = 80.0;
    const FIGURE: f64 = 70.0;
    const ROW: f64 = 26.0;
    let most = figures.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let height = ROW * figures.len() as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"memory\">");
    for (at, (name, value)) in figures.iter().enumerate() {
        let top = ROW * at as f64;
        let class = if at == 0 { "ours" } else { "theirs" };
        let width = (WIDTH - LABEL - FIGURE) * (value.max(0.0) / most);
        let text = table::figure(Unit::BytesPerGib, *value);
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LABEL}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{}\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            LABEL - 6.0,
            top + 17.0,
            escape(name),
            top + 5.0,
            ROW - 10.0,
            LABEL + width + 6.0,
            top + 17.0
        );
    }
    svg + "</svg>"
}

/// A figure through its states, joined. The lines are at its least and its most.
pub fn line(states: &[(&str, f64)]) -> String {
    const WIDTH: f64 = 340.0;
    const HEIGHT: f64 = 100.0;
    const LEFT: f64 = 56.0;
    const SIDE: f64 = 12.0;
    let values = || states.iter().map(|(_, value)| *value);
    let scale = Scale::of(values());
    let step = (WIDTH - LEFT - 2.0 * SIDE) / (states.len().max(2) - 1) as f64;
    let y = |value: f64| HEIGHT - SIDE - (HEIGHT - 2.0 * SIDE) * scale.at(value);
    let places: Vec<_> =
        values().enumerate().map(|(at, value)| (LEFT + SIDE + step * at as f64, y(value))).collect();
    let points: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"history\">");
    let (least, most) =
        values().fold((f64::INFINITY, 0.0f64), |(least, most), v| (least.min(v), most.max(v)));
    // Lines that would be on top of each other are one.
    let ends = [most, least];
    let ends = if y(least) - y(most) < 14.0 { &ends[..1] } else { &ends[..] };
    for value in ends.iter().filter(|value| value.is_finite() && **value > 0.0) {
        let (at, text) = (y(*value), table::figure(Unit::Instructions, *value));
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {at:.1}H{WIDTH}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 4.0,
            at + 4.0
        );
    }
    let _ = write!(svg, "<polyline class=\"ours\" stroke-width=\"2\" points=\"{}\"/>", points.join(" "));
    for ((x, y), (name, value)) in places.into_iter().zip(states) {
        let title = escape(&format!("{name}: {}", table::figure(Unit::Instructions, *value)));
        let _ = write!(
            svg,
            "<circle class=\"ours\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{title}</title></circle>"
        );
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_goes_by_factors_and_is_never_empty() {
        let scale = Scale { low: 0.5, high: 2.0 };
        assert!((scale.at(1.0) - 0.5).abs() < 1e-12);
        assert_eq!((scale.at(0.1), scale.at(9.0)), (0.0, 1.0));
        for values in [vec![], vec![1.0], vec![0.0, f64::NAN]] {
            let scale = Scale::of(values.clone());
            assert!(scale.low < scale.high && scale.at(1.0).is_finite(), "{values:?}");
        }
    }

    #[test]
    fn one_ratio_far_out_leaves_the_others_their_room() {
        let row =
            |ours: f64| Comparison::new(["a", "b", "w"], Unit::IosPerSecond, vec![ours; 5], vec![1.0; 5]);
        let rows = [row(1.1), row(50.0)];
        let scale = Scale::of_ratios(&[&rows[0], &rows[1]]);
        assert!(scale.high < 4.0 && scale.at(1.1) - scale.at(1.0) > 0.05, "{scale:?}");
        assert!(
            interval(&rows[1], &scale).contains("beyond") && !interval(&rows[0], &scale).contains("beyond")
        );
        let ticks = scale.ticks();
        assert!(ticks.len() > 2 && ticks.iter().all(|(_, at)| (0.0..=1.0).contains(at)), "{ticks:?}");
    }

    #[test]
    fn plots_of_nothing_are_drawn_all_the_same() {
        let empty = Latency { percentiles: vec![], ours: vec![], theirs: vec![] };
        for svg in [curves(&empty), bars(&[]), line(&[]), line(&[("a", 1.0)]), bars(&[("a", 0.0)])] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
