//! What holds for every drawing: titles, escapes, errors that name the argument, equal bytes, balanced tags.

use proptest::prelude::*;
use sconce_report::{
    Band, Cell, Curve, Drawing, Error, Estimate, ForestRow, Grid, Histogram, Page, Result, Tile, Tone, contours, field,
    forest, heat, heat_image, histogram, image, lines, png, ranks, surface,
};

const EVIL: &str = "<script>alert('x & y')</script>\"";

/// Fails where tags are not balanced, or an attribute or a text has a bare `<`.
fn balanced(svg: &str) -> std::result::Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some(at) = rest.find('<') {
        if rest[..at].contains('>') {
            return Err(format!("a bare > in {}", &rest[..at]));
        }
        let end = rest[at..].find('>').ok_or("a tag without its end")? + at;
        let tag = &rest[at + 1..end];
        if tag.contains('<') || !tag.matches('"').count().is_multiple_of(2) {
            return Err(format!("a bad tag: {tag}"));
        }
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or("");
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    if open.is_empty() && rest.trim().is_empty() { Ok(()) } else { Err(format!("left open: {open:?}, {rest}")) }
}

fn all(d: &Drawing) -> impl Iterator<Item = &String> {
    d.wide().iter().chain(d.narrow())
}

/// Every kind of drawing with these titles and values.
fn every(x: &str, y: &str, z: &str, v: &[f64]) -> Result<Vec<Drawing>> {
    let at = |i: usize| v[i % v.len()];
    let points = |k: usize| (0..v.len()).map(move |i| (i as f64, at(i + k)));
    let bars =
        v.iter().enumerate().map(|(i, m)| (*m, Estimate::with_interval(at(i + 1), at(i + 1) - 1.0, at(i + 1) + 1.0)));
    let curves = [Curve::new(x, points(0)), Curve::with_intervals(y, bars).scattered()];
    let rows =
        v.iter().map(|m| ForestRow { label: x.into(), estimate: (*m).into(), tone: Tone::Plain }).collect::<Vec<_>>();
    let axis = |n: u32| (0..n).map(|i| f64::from(i) / 3.0).collect::<Vec<f64>>();
    let grid = Grid::new(axis(5), axis(4), (0..20).map(at).collect())?;
    let cells: Vec<Option<f64>> = (0..6).map(|i| if i == 3 { None } else { Some(at(i)) }).collect();
    let edges = (0..=v.len()).map(|i| i as f64).collect();
    let bins = Histogram { name: z.into(), edges, counts: v.iter().map(|c| c.abs()).collect() };
    let arrows: Vec<[f64; 4]> = (0..v.len()).map(|i| [i as f64, 1.0, at(i), at(i + 1)]).collect();
    Ok(vec![
        lines(x, y, &curves)?,
        forest(x, &rows, &[(Tone::Plain, y)])?,
        contours(&grid, (x, y, z), 5)?,
        surface(&grid, (x, y, z))?,
        heat(&Band::numbers(x, 0.0, 2.0, 3), &Band::names(y, [z, x]), z, &cells, None)?,
        heat(&Band::names(x, [x, y, z]), &Band::names(y, [z, x]), z, &cells, None)?,
        histogram(x, y, &[bins])?,
        field(&arrows, 0.5, (x, y))?,
        ranks(x, &[(y.to_owned(), 1.2), (z.to_owned(), 2.0), (y.to_owned(), 2.8)], &[(0, 1), (1, 2)], 1.1)?,
    ])
}

#[test]
fn axis_titles_are_in_both_sizes() {
    for (k, d) in every("radius", "accuracy", "loss", &[0.3, -1.0, 2.0]).unwrap().iter().enumerate() {
        for svg in all(d) {
            let wanted: &[&str] = match k {
                1 => &["radius"],
                8 => &["radius", "critical difference 1.10"],
                2..=5 => &["radius", "accuracy", "loss"],
                _ => &["radius", "accuracy"],
            };
            // The text of the drawing, without its label for screen readers.
            let (_, marks) = svg.split_once('>').unwrap();
            for want in wanted {
                assert!(marks.contains(&format!("\n{want}\n")) || marks.contains(&format!(">\n{want}")), "{k}: {want}");
            }
        }
    }
}

#[test]
fn text_is_escaped_everywhere() {
    let drawings = every(EVIL, EVIL, EVIL, &[1.0, 2.0]).unwrap();
    let mut page = Page::new(EVIL, EVIL, EVIL);
    page.heading(EVIL);
    page.subheading(EVIL);
    page.text(EVIL);
    page.note(EVIL);
    page.summary(EVIL);
    page.list(&[EVIL.to_owned()]);
    page.table(
        &[EVIL],
        vec![vec![Cell::from(EVIL)], vec![Cell::toned(EVIL, Tone::Good)], vec![EVIL.to_owned().into()]],
    );
    page.details(EVIL, EVIL);
    page.scale(EVIL, 0.0, 1.0).unwrap();
    let tile = Tile { image: EVIL.into(), caption: EVIL.into(), alt: EVIL.into() };
    page.tiles(std::slice::from_ref(&tile), Some(2));
    page.image_grid(&[EVIL], &[(EVIL.to_owned(), vec![tile])]);
    for d in &drawings {
        page.figure(d, EVIL);
        all(d).for_each(|svg| balanced(svg).unwrap());
    }
    page.row(&drawings.into_iter().map(|d| (d, EVIL)).collect::<Vec<_>>());
    let html = page.close(EVIL);
    assert!(!html.contains("<script") && !html.contains("'x") && html.contains("&lt;script&gt;"));
}

#[test]
fn what_cannot_be_drawn_is_an_error_that_names_the_argument() {
    let axis = vec![0.0, 1.0];
    let row = |e: Estimate| ForestRow { label: "a".into(), estimate: e, tone: Tone::Good };
    let bins = |edges: &[f64], counts: &[f64]| {
        let h = Histogram { name: "a".into(), edges: edges.to_vec(), counts: counts.to_vec() };
        histogram("x", "y", &[h]).unwrap_err()
    };
    let band = |n| Band::numbers("a", 0.0, 1.0, n);
    let ranked = |means: &[f64], groups: &[(usize, usize)], critical| {
        let rows: Vec<(String, f64)> = means.iter().map(|m| ("a".to_owned(), *m)).collect();
        ranks("x", &rows, groups, critical).unwrap_err()
    };
    let cells = |c: &[Option<f64>]| heat(&band(2), &band(2), "v", c, None).unwrap_err();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let named = [
            (
                lines("x", "y", &[Curve::new("a", [(0.0, 1.0), (bad, 1.0)])]).unwrap_err(),
                "curves[0].points, x: value 1",
            ),
            (lines("x", "y", &[Curve::new("a", [(0.0, bad)])]).unwrap_err(), "curves[0].points, y: value 0"),
            (
                lines("x", "y", &[Curve::with_intervals("a", [(0.0, Estimate::with_interval(0.0, 0.0, bad))])])
                    .unwrap_err(),
                "curves[0].points, y: value 0",
            ),
            (forest("x", &[row(bad.into())], &[]).unwrap_err(), "rows: value 0"),
            (Grid::new(axis.clone(), axis.clone(), vec![0.0, 1.0, bad, 0.0]).unwrap_err(), "z: value 2"),
            (Grid::new(vec![0.0, bad], axis.clone(), vec![0.0; 4]).unwrap_err(), "x: value 1"),
            (cells(&[Some(1.0), None, Some(bad), None]), "cells: value 2"),
            (heat(&band(1), &band(1), "v", &[None], Some((0.0, bad))).unwrap_err(), "range: value 1"),
            (heat(&Band::numbers("a", bad, 1.0, 2), &band(1), "v", &[None; 2], None).unwrap_err(), "columns: value 0"),
            (heat_image(1, &[Some(bad)], 0.0, 1.0).unwrap_err(), "cells: value 0"),
            (bins(&[0.0, bad], &[1.0]), "histograms[0].edges: value 1"),
            (bins(&[0.0, 1.0], &[bad]), "histograms[0].counts: value 0"),
            (field(&[[0.0, 0.0, 1.0, bad]], 1.0, ("x", "y")).unwrap_err(), "arrows: value 0"),
            (field(&[[0.0; 4]], bad, ("x", "y")).unwrap_err(), "length: value 0"),
            (image((1, 1, 1), &[bad as f32]).unwrap_err(), "values: value 0"),
            (ranked(&[1.0, bad], &[], 1.0), "rows: value 1"),
            (ranked(&[1.0, 2.0], &[], bad), "critical: value 0"),
            (Page::new("", "", "").scale("", 0.0, bad).unwrap_err(), "scale: value 1"),
        ];
        for (e, want) in named {
            assert!(e.to_string().starts_with(want) && matches!(e, Error::NotFinite { .. }), "{e} is not {want}");
        }
    }
    let empty = [
        (lines("x", "y", &[]).unwrap_err(), "curves"),
        (lines("x", "y", &[Curve::new("a", [])]).unwrap_err(), "curves"),
        (forest("x", &[], &[]).unwrap_err(), "rows"),
        (Grid::new(vec![], axis.clone(), vec![]).unwrap_err(), "x"),
        (Grid::new(axis.clone(), axis.clone(), vec![]).unwrap_err(), "z"),
        (heat(&band(0), &band(1), "v", &[], None).unwrap_err(), "columns"),
        (heat(&band(1), &band(1), "v", &[None], None).unwrap_err(), "cells"),
        (heat_image(1, &[], 0.0, 1.0).unwrap_err(), "cells"),
        (histogram("x", "y", &[]).unwrap_err(), "histograms"),
        (bins(&[], &[]), "histograms[0].edges"),
        (field(&[], 1.0, ("x", "y")).unwrap_err(), "arrows"),
        (png(0, 0, &[]).unwrap_err(), "rgb"),
        (ranked(&[], &[], 1.0), "rows"),
        (image((1, 0, 0), &[]).unwrap_err(), "values"),
    ];
    for (e, want) in empty {
        assert!(matches!(&e, Error::Empty { what } if what == want), "{e}: not {want}");
    }
    let wrong = [
        Grid::new(axis.clone(), axis.clone(), vec![0.0; 3]).unwrap_err(),
        Grid::new(vec![0.0, 1.0, 5.0], axis.clone(), vec![0.0; 6]).unwrap_err(),
        Grid::new(vec![1.0, 0.0], axis, vec![0.0; 4]).unwrap_err(),
        cells(&[None, None, None, Some(1.0), None]),
        heat(&band(1), &band(1), "v", &[Some(0.0)], Some((1.0, 0.0))).unwrap_err(),
        bins(&[0.0, 1.0], &[1.0, 1.0]),
        bins(&[1.0, 0.0], &[1.0]),
        bins(&[0.0, 1.0], &[-1.0]),
        field(&[[0.0; 4]], 0.0, ("x", "y")).unwrap_err(),
        lines("x", "y", &[Curve::with_intervals("a", [(0.0, Estimate::with_interval(0.0, 1.0, -1.0))])]).unwrap_err(),
        lines("x", "y", &[Curve::new("a", [(0.0, 1e308), (1.0, -1e308)])]).unwrap_err(),
        ranked(&[1.0], &[], 1.0),
        ranked(&[2.0, 1.0], &[], 1.0),
        ranked(&[0.5, 2.0], &[], 1.0),
        ranked(&[1.0, 2.5], &[], 1.0),
        ranked(&[1.0, 2.0], &[(0, 2)], 1.0),
        ranked(&[1.0, 2.0], &[(1, 1)], 1.0),
        ranked(&[1.0, 2.0], &[], 0.0),
    ];
    for e in wrong {
        assert!(matches!(e, Error::Shape { .. } | Error::Range { .. }), "{e}");
    }
}

#[test]
fn one_point_and_equal_values_are_drawn() {
    for values in [&[0.5][..], &[0.0, 0.0], &[-7.0, -7.0, -7.0], &[1e12, 1e12]] {
        for d in every("x", "y", "z", values).unwrap() {
            all(&d).for_each(|svg| balanced(svg).unwrap());
        }
    }
}

#[test]
fn a_page_has_both_papers_a_viewport_and_the_same_bytes() {
    let page = || {
        let mut page = Page::new("kind", "title", "lead");
        every("x", "y", "z", &[1.0, 3.0, 2.0]).unwrap().iter().for_each(|d| page.figure(d, "caption"));
        page.close("title")
    };
    let html = page();
    for want in [
        "prefers-color-scheme: dark",
        "color-scheme",
        "width=device-width",
        "@media print",
        "overflow-x: auto",
        "lang=en",
    ] {
        assert!(html.contains(want), "{want}");
    }
    // Nothing is loaded: the only addresses are the name of SVG and the bytes of pictures.
    let outside = html.replace("http://www.w3.org/2000/svg", "").replace("href=\"data:image/png;base64,", "");
    assert!(!["http", "src=", "href=", "url(", "<script", "<link"].iter().any(|w| outside.contains(w)));
    assert!(html.contains("class=wide") && html.contains("class=narrow"));
    assert_eq!(html, page());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_finite_input_is_well_formed(
        values in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 1..12),
        scale in -300i32..300,
        x in ".{0,60}",
        y in ".{0,60}",
    ) {
        // In [-1, 1] times a power of ten.
        let values: Vec<f64> = values.iter().map(|v| (v.to_bits() % 2001) as f64 / 1000.0 - 1.0).map(|v| v * 10f64.powi(scale)).collect();
        for d in every(&x, &y, "z", &values).map_err(|e| TestCaseError::fail(e.to_string()))? {
            for svg in all(&d) {
                balanced(svg).map_err(TestCaseError::fail)?;
                // Coordinates are numbers; the text of titles and the bytes of pictures may be anything.
                for at in ["points=\"", "cx=\"", "cy=\"", " x=\"", " y=\"", "width=\"", "height=\""] {
                    for value in svg.split(at).skip(1).filter_map(|s| s.split('"').next()) {
                        let plain = value.chars().all(|c| c.is_ascii_digit() || "-., ".contains(c));
                        prop_assert!(plain, "{at}{value}");
                    }
                }
            }
        }
    }
}
