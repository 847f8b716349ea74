//! Lines in a frame, as inline SVG. A hundred lines of our own rather than a plotting crate: four plots of one kind, no
//! fonts, no rasterising, and no part of the page that comes from anywhere else.

use std::fmt::Write as _;

/// The colours of lines, in order; told apart by people who see no red or green too (Okabe and Ito).
pub const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a",
];
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;

/// What the numbers on an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Milliseconds.
    Time,
    /// Thousandths, shown as percent.
    Share,
}

/// One plot.
#[derive(Debug)]
pub struct Plot {
    /// What the horizontal axis is.
    pub x: Unit,
    /// What the vertical axis is.
    pub y: Unit,
    /// Each line's points, in order.
    pub lines: Vec<Vec<(f64, f64)>>,
}

impl Plot {
    /// The SVG element.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flatten();
        let x_most = points().map(|p| p.0).fold(1.0, f64::max);
        let y_most = match self.y {
            Unit::Share => 1_000.0,
            _ => points().map(|p| p.1).fold(1.0, f64::max),
        };
        let at_x = |x: f64| LEFT + x / x_most * (WIDTH - LEFT - RIGHT);
        let at_y = |y: f64| HEIGHT - BOTTOM - y / y_most * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\">"
        );
        // Writing to a string cannot fail.
        for y in ticks(y_most, self.y) {
            let h = at_y(y);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{h:.1}\" x2=\"{:.1}\" y2=\"{h:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                h + 4.0,
                label(y, self.y)
            );
        }
        for x in ticks(x_most, self.x) {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                at_x(x),
                HEIGHT - 8.0,
                label(x, self.x)
            );
        }
        let drawn = self.lines.iter().zip(COLOURS.iter().cycle());
        for ((line, colour), above) in drawn.zip((0..self.lines.len()).rev()) {
            // Those that are drawn over are wider: where all run alike, each still shows.
            let width = 1.6 + 2.4 * above as f64;
            let mut path = String::new();
            for (x, y) in line {
                let _ = write!(path, "{:.1},{:.1} ", at_x(*x), at_y(y.min(y_most)));
            }
            let _ = write!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width:.1}\" points=\"{}\"/>",
                path.trim_end()
            );
        }
        svg.push_str("</svg>");
        svg
    }
}

/// Round numbers from 0 to `most`, four to nine of them.
fn ticks(most: f64, unit: Unit) -> Vec<f64> {
    let steps: Vec<f64> = match unit {
        Unit::Share => vec![250.0],
        Unit::Time => [
            1,
            2,
            5,
            10,
            20,
            50,
            100,
            200,
            500,
            1_000,
            2_000,
            5_000,
            10_000,
            30_000,
            60_000,
            120_000,
            300_000,
            600_000,
            1_800_000,
            3_600_000,
            7_200_000,
            14_400_000,
            43_200_000,
            86_400_000,
            259_200_000,
            864_000_000,
        ]
        .map(f64::from)
        .to_vec(),
        Unit::Count => (0..18)
            .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
            .collect(),
    };
    let step = steps
        .iter()
        .copied()
        .find(|step| most / step <= 8.0)
        .unwrap_or(most);
    (0..=(most / step) as u32)
        .map(|i| f64::from(i) * step)
        .collect()
}

/// A number as people read it.
pub fn label(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => format!("{value:.0}"),
        Unit::Share => format!("{:.0} %", value / 10.0),
        Unit::Time => time(value as u64),
    }
}

/// Milliseconds as people read them: two units at most.
pub fn time(ms: u64) -> String {
    let two = |big: u64, small: u64, a: &str, b: &str| match small {
        0 => format!("{big} {a}"),
        _ => format!("{big} {a} {small} {b}"),
    };
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 if !ms.is_multiple_of(1_000) => format!("{:.1} s", ms as f64 / 1e3),
        1_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => two(ms / 60_000, ms / 1_000 % 60, "min", "s"),
        3_600_000..86_400_000 => two(ms / 3_600_000, ms / 60_000 % 60, "h", "min"),
        _ => two(ms / 86_400_000, ms / 3_600_000 % 24, "d", "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        for (ms, said) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_500, "1.5 s"),
            (60_000, "1 min"),
            (90_000, "1 min 30 s"),
            (3_600_000, "1 h"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(time(ms), said);
        }
    }

    #[test]
    fn an_axis_has_a_handful_of_round_ticks() {
        for most in [1.0, 7.0, 99.0, 12_345.0] {
            let ticks = ticks(most, Unit::Count);
            assert!((2..=9).contains(&ticks.len()), "{most}: {ticks:?}");
            assert!(ticks.iter().all(|tick| *tick <= most));
        }
    }

    #[test]
    fn a_line_stays_inside_its_frame() {
        let plot = Plot {
            x: Unit::Time,
            y: Unit::Share,
            lines: vec![vec![(0.0, 0.0), (5_000.0, 2_000.0)], vec![]],
        };
        let svg = plot.svg();
        assert!(svg.contains("points=\"62.0,210.0 836.0,10.0\""), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2);
    }
}
