//! A page with every figure. `cargo run -p sconce-report --example report [FILE]`; the default is `sconce-report.html` in the folder for
//! temporary files.

use sconce_report::{
    Band, Cell, Curve, Estimate, ForestRow, Grid, Histogram, Page, Tile, Tone, contours, field, forest, heat,
    heat_image, histogram, image, lines, ranks, surface,
};

fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("sconce-report.html"), Into::into);
    std::fs::write(&path, page()?)?;
    #[allow(clippy::print_stdout)]
    {
        println!("{}", path.display());
    }
    Ok(())
}

fn page() -> anyhow::Result<String> {
    let lead = "This page has every figure of the crate. Its numbers are invented.";
    let mut page = Page::new("Sconce · example", "A report with every figure", lead);
    tables(&mut page)?;
    curves(&mut page)?;
    effects(&mut page)?;
    maps(&mut page)?;
    pictures(&mut page)?;
    page.heading("Provenance");
    page.table(&["", ""], vec![vec!["seed", "0"], vec!["device", "none"]]);
    page.details("The configuration", "[train]\nepochs = 3\nlr = 0.05\n");
    Ok(page.close("Sconce: every figure"))
}

fn tables(page: &mut Page) -> anyhow::Result<()> {
    page.summary("2 of 3 comparisons are supported; 1 is undecided.");
    page.heading("A table");
    page.text("Cells are text, numbers, means with their intervals, or words with a tone. A wide table scrolls inside its box.");
    let methods = ["none", "weight decay", "Absum", "adversarial training"];
    let rows = methods.iter().enumerate().map(|(i, m)| {
        let mean = 0.412 + 0.07 * i as f64;
        let mut row = vec![Cell::from(*m)];
        row.extend((0..7).map(|k| {
            let mean = mean + 0.03 * f64::from(k);
            Cell::estimate(Some(Estimate::with_interval(mean, mean - 0.02, mean + 0.02)))
        }));
        row.push(match i {
            0 => Cell::toned("baseline", Tone::Plain),
            3 => Cell::toned("undecided", Tone::Open),
            _ => Cell::toned("supported", Tone::Good),
        });
        row
    });
    let head = ["method", "clean", "low freq.", "middle freq.", "high freq.", "noise", "transferred", "PGD", "verdict"];
    page.table(&head, rows.collect());
    page.list(&["The quick suite gives an upper bound: the true robust accuracy is probably lower.".to_owned()]);
    Ok(())
}

fn curves(page: &mut Page) -> anyhow::Result<()> {
    page.heading("Curves and histograms");
    let curve = |name: &str, fall: f64| {
        let at = |i: u32| {
            let (x, half) = (f64::from(i) * 2.0, 0.01 + 0.004 * f64::from(i));
            let mean = 0.92 * (-fall * x).exp();
            (x, Estimate::with_interval(mean, mean - half, mean + half))
        };
        Curve::with_intervals(name, (0..7).map(at))
    };
    let all = [curve("standard training", 0.35), curve("Absum", 0.2), curve("adversarial training", 0.08)];
    page.plot(
        "Accuracy over the radius of the attack; bars are 95 % intervals over 5 seeds.",
        "L-infinity radius (n/255)",
        "robust accuracy",
        &all,
    )?;
    let bins = |name: &str, middle: f64, width: f64| {
        let edges: Vec<f64> = (0..=40).map(|i| f64::from(i) / 10.0).collect();
        let count = |w: &[f64]| 400.0 * (-((w[0] + 0.05 - middle) / width).powi(2)).exp();
        Histogram { name: name.to_owned(), counts: edges.windows(2).map(count).collect(), edges }
    };
    let both = histogram("anomaly score", "rows", &[bins("normal", 1.2, 0.5), bins("anomalies", 2.4, 0.7)])?;
    page.figure(&both, "Scores of held-out rows.");
    let small = |name: &str, fall: f64| lines("epoch", "loss (nats)", &[curve(name, fall)]);
    page.row(&[
        (small("training", 0.1)?, "The loss in training."),
        (small("validation", 0.05)?, "The loss in validation."),
    ]);
    Ok(())
}

fn effects(page: &mut Page) -> anyhow::Result<()> {
    page.heading("Effects");
    let row = |label: &str, mean: f64, half: f64, tone| ForestRow {
        label: label.to_owned(),
        estimate: Estimate::with_interval(mean, mean - half, mean + half),
        tone,
    };
    let rows = [
        row("absum-over-none > 0", 0.081, 0.02, Tone::Good),
        row("absum-over-weight-decay > 0", 0.012, 0.03, Tone::Open),
        row("absum-clean-accuracy >= 0 (offset 0.01)", -0.024, 0.008, Tone::Bad),
        row("step-time-ratio < 0", -3.1, 0.4, Tone::Good),
    ];
    let legend = [(Tone::Good, "supported"), (Tone::Bad, "contradicted"), (Tone::Open, "undecided")];
    page.figure(
        &forest("difference (left minus right)", &rows, &legend)?,
        "Paired differences with their 95 % intervals.",
    );
    let methods = [("ABC", 1.6), ("kNN", 2.1), ("isolation forest", 2.9), ("ECOD", 4.1), ("PCA", 4.3)];
    let methods = methods.map(|(name, rank)| (name.to_owned(), rank));
    page.figure(
        &ranks("mean rank over ten tables (1 is best)", &methods, &[(0, 2), (2, 4)], 1.93)?,
        "Bars join methods whose mean ranks do not differ significantly.",
    );
    Ok(())
}

fn maps(page: &mut Page) -> anyhow::Result<()> {
    page.heading("Maps");
    let axis: Vec<f64> = (0..25).map(|i| f64::from(i) / 12.0 - 1.0).collect();
    let z = axis.iter().flat_map(|y| axis.iter().map(move |x| 2.0 + x * x + 2.0 * y * y + 0.5 * (3.0 * x).sin()));
    let grid = Grid::new(axis.clone(), axis.clone(), z.collect())?;
    let titles = ("first direction (filter norms)", "second direction (filter norms)", "adversarial loss (nats)");
    page.row(&[
        (contours(&grid, titles, 9)?, "The loss on a plane, with lines of equal value."),
        (surface(&grid, titles)?, "The same surface in perspective."),
    ]);
    page.figure(&surface(&grid, titles)?, "The surface alone.");
    let wave = |k: i32| Some((0.9 - 0.001 * f64::from((k % 28 - 14).pow(2) + (k / 28 - 14).pow(2))).max(0.4));
    let mut cells: Vec<Option<f64>> = (0..784).map(wave).collect();
    cells[0] = None;
    let [m, l] =
        ["m, across (cycles per image)", "l, down (cycles per image)"].map(|t| Band::numbers(t, -14.0, 13.0, 28));
    let names = |t: &str, n: &[&str]| Band::names(t, n.iter().copied());
    let table: Vec<Option<f64>> = (0..15).map(|k| Some(0.6 + 0.025 * f64::from(k))).collect();
    let [methods, tables] = [
        names("method", &["ABC", "kNN", "ECOD", "isolation forest", "PCA"]),
        names("table", &["shuttle", "KDD'99", "thyroid"]),
    ];
    page.figure(
        &heat(&m, &l, "accuracy", &cells, None)?,
        "Accuracy under each Fourier direction; grey was not measured.",
    );
    page.figure(&heat(&methods, &tables, "AUROC", &table, Some((0.5, 1.0)))?, "AUROC by method and table.");
    let arrows: Vec<[f64; 4]> = (0..121)
        .map(|k| [f64::from(k % 11 - 5) / 5.0, f64::from(k / 11 - 5) / 5.0])
        .map(|[x, y]| [x, y, 2.0 * x, 4.0 * y])
        .collect();
    page.row(&[(field(&arrows, 0.15, ("first weight", "second weight"))?, "The gradient of a bowl.")]);
    Ok(())
}

fn pictures(page: &mut Page) -> anyhow::Result<()> {
    page.heading("Images");
    let picture =
        |f: &dyn Fn(i32, i32) -> f32| image((1, 28, 28), &(0..784).map(|k| f(k % 28, k / 28)).collect::<Vec<_>>());
    let ring = |x: i32, y: i32| if (60..120).contains(&((x - 14).pow(2) + (y - 14).pow(2))) { 0.9 } else { 0.1 };
    let noise = |x: i32, y: i32| if (x + y) % 4 < 2 { 0.15 } else { -0.15 };
    let tile = |image: String, caption: &str| Tile { image, caption: caption.to_owned(), alt: caption.to_owned() };
    let row = vec![
        tile(picture(&ring)?, "bag, 0.98"),
        tile(picture(&|x, y| 0.5 + noise(x, y))?, "L-infinity 0.15"),
        tile(picture(&|x, y| ring(x, y) + noise(x, y))?, "shirt, 0.71"),
    ];
    page.image_grid(&["clean", "perturbation", "adversarial"], &[("test image 3, label: bag".to_owned(), row)]);
    page.scale("share of normal examples with a lower score", 0.0, 1.0)?;
    let cells: Vec<Option<f64>> = (0..100).map(|k| Some(f64::from(k) / 99.0)).collect();
    let map = heat_image(10, &cells, 0.0, 1.0)?;
    page.tiles(&["autoencoder", "ABC", "DeepSAD", "LRC", "kNN"].map(|n| tile(map.clone(), n)), None);
    Ok(())
}
