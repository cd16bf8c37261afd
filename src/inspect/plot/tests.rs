use super::*;
use crate::train::History;

fn history() -> History {
    let mut h = History::default();
    for epoch in 0..10 {
        let t = f64::from(epoch);
        h.push("loss", 1.9 * (-0.5 * t).exp() + 0.1);
        h.push("accuracy", 1.0 - 0.6 * (-0.6 * t).exp());
        h.push("val_loss", 1.8 * (-0.45 * t).exp() + 0.2);
        h.push("val_accuracy", if epoch == 4 { f64::NAN } else { 0.97 - 0.55 * (-0.6 * t).exp() });
        h.push("learning_rate", 1e-3 * (1.0 + (t / 9.0 * std::f64::consts::PI).cos()) / 2.0);
    }
    h
}

/// Every column is there, validation in the panel of its own; a value that is not finite breaks the line.
#[test]
fn a_history_as_svg() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("curves.svg");
    history().plot(&path).unwrap();
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for text in ["loss", "val_loss", "accuracy", "val_accuracy", "learning_rate", "epoch", "0.5", "10"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} is missing in {svg}");
    }
    // axes of three panels, five columns and one more piece
    assert_eq!(svg.matches("<polyline").count(), 3 + 5 + 1);
    assert_eq!(svg.matches("<circle").count(), 49);
    // a name that would break the file does not
    let odd = Figure::new().panel(Panel::new("a < b & c").line("x", [(0.0, 1.0), (1.0, 2.0)])).svg().unwrap();
    assert!(odd.contains("a &lt; b &amp; c"), "{odd}");
}

/// The picture that plotters' PNG shows has the size, white ground, both colours of the lines, and letters.
#[test]
fn a_history_as_png() {
    let dir = tempfile::tempdir().unwrap();
    let path = std::env::var_os("GRADUS_PLOT").map_or(dir.path().join("curves.PNG"), Into::into);
    history().plot(&path).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((info.width, info.height), (2240, 1480));
    let count = |r, g, b| rgb.chunks(3).filter(|p| **p == [r, g, b]).count();
    assert!(count(255, 255, 255) > rgb.len() / 3 * 9 / 10);
    let (blue, orange, letters) = (count(47, 101, 163), count(214, 118, 43), count(98, 106, 118));
    assert!(blue > 5000 && orange > 3000 && letters > 3000, "{blue} {orange} {letters}");
}

#[test]
fn what_cannot_be_drawn_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let e = history().plot(dir.path().join("curves.jpg")).unwrap_err();
    assert!(e.code() == "unknown-choice" && e.to_string().contains(".svg, .png"), "{e}");
    let mut empty = History::default();
    assert_eq!(empty.plot(dir.path().join("a.svg")).unwrap_err().code(), "unsupported");
    empty.push("loss", f64::NAN);
    assert_eq!(empty.plot(dir.path().join("a.png")).unwrap_err().code(), "unsupported");
    assert_eq!(history().plot(dir.path().join("nowhere/a.png")).unwrap_err().code(), "io");
    // one epoch, values that are all alike, zeros on a logarithmic axis, huge ones
    let panel = |points: Vec<(f64, f64)>| {
        Figure::new().panel(Panel::new("p").log_y(true).line("a", points.clone())).panel(Panel::new("q").line("a", points))
    };
    for points in [vec![(1.0, 0.5)], vec![(1.0, 0.0), (2.0, 3.0)], vec![(0.0, 1e300), (1.0, 1e-300)], vec![(-1e308, 1.0), (1e308, 1.0)]] {
        panel(points.clone()).png().unwrap();
        panel(points).svg().unwrap();
    }
}
