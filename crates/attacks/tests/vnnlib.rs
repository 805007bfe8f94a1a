//! Properties as files write them, and texts that are none.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use proptest::prelude::*;
use sconce_attacks::property::Property;

fn declared(inputs: usize, outputs: usize) -> String {
    let all = |letter: char, n: usize| (0..n).map(move |i| format!("(declare-const {letter}_{i} Real)\n"));
    all('X', inputs).chain(all('Y', outputs)).collect()
}

/// Regions as text: the box, and the constraints as `sum <= bound`.
fn told(p: &Property) -> Vec<String> {
    let region = |r: &sconce_attacks::property::Region| {
        let sides: Vec<String> = r.lower().iter().zip(r.upper()).map(|(l, u)| format!("[{l}, {u}]")).collect();
        let terms = |letter: char, all: &[(usize, f64)]| {
            all.iter().map(|(i, a)| format!("{a:+} {letter}_{i} ")).collect::<String>()
        };
        let constraints = r.constraints().iter().map(|c| {
            let sign = if c.is_strict() { "<" } else { "<=" };
            format!("; {}{}{sign} {}", terms('X', c.inputs()), terms('Y', c.outputs()), c.bound())
        });
        sides.join(" ") + &constraints.collect::<String>()
    };
    p.regions().iter().map(region).collect()
}

/// In the style of the ACAS Xu benchmarks: five inputs in [-0.33, 0.68], five outputs; one is least, or a disjunction says which is.
#[test]
fn properties_of_a_controller() {
    let text = format!(
        "; ACAS Xu property 2\n\n{}\n; Unscaled Input 0: (55947.691, 60760)\n(assert (<= X_0 0.679857769))\n(assert (>= X_0 0.6))\n\
         (assert (<= X_1 0.5))\n(assert (>= X_1 -0.5))\n(assert (<= X_2 0.5))(assert (>= X_2 -0.5))\r\n(assert (<= X_3 0.5))\n(assert (>= X_3 0.45))\n\
         (assert (<= X_4 -0.45))\n(assert (>= X_4 -0.5))\n; unsafe if COC is maximal\n(assert (<= Y_1 Y_0))\n(assert (<= Y_2 Y_0))\n(assert (<= Y_3 Y_0))\n\
         (assert (<= Y_4 Y_0))\n",
        declared(5, 5)
    );
    let p = Property::parse(&text).unwrap();
    assert_eq!((p.inputs(), p.outputs()), (5, 5));
    let sides = "[0.6, 0.679857769] [-0.5, 0.5] [-0.5, 0.5] [0.45, 0.5] [-0.5, -0.45]";
    assert_eq!(
        told(&p),
        [format!("{sides}; -1 Y_0 +1 Y_1 <= 0; -1 Y_0 +1 Y_2 <= 0; -1 Y_0 +1 Y_3 <= 0; -1 Y_0 +1 Y_4 <= 0")]
    );
    let or = "(assert (or\n    (and (<= Y_0 Y_3) (<= Y_1 Y_3))\n    (and (<= Y_0 Y_4)\n         (<= Y_1 Y_4))\n))";
    let p = Property::parse(&text.replace("(assert (<= Y_1 Y_0))", or)).unwrap();
    assert_eq!(p.regions().len(), 2);
    assert!(
        told(&p)[1].starts_with(&format!("{sides}; "))
            && told(&p)[1].ends_with("; +1 Y_0 -1 Y_4 <= 0; +1 Y_1 -1 Y_4 <= 0")
    );
}

/// In the style of the MNIST benchmarks: 784 inputs and a disjunction of single comparisons.
#[test]
fn properties_of_images() {
    let bounds: String =
        (0..784).map(|i| format!("(assert (<= X_{i} 0.{:04}))\n(assert (>= X_{i} -4.24e-1))\n", i)).collect();
    let others: String = (0..10).filter(|j| *j != 7).map(|j| format!("    (and (>= Y_{j} Y_7))\n")).collect();
    let text = format!("{}\n{bounds}\n(assert (or\n{others}))\n", declared(784, 10));
    let p = Property::parse(&text).unwrap();
    assert_eq!((p.inputs(), p.outputs(), p.regions().len()), (784, 10, 9));
    let r = &p.regions()[8];
    assert_eq!(
        (r.lower()[783], r.upper()[783], r.constraints()[0].outputs()),
        (-0.424, 0.0783, &[(7, 1.0), (9, -1.0)][..])
    );
    let (mut x, mut y) = (vec![0.0; 784], vec![0.0; 10]);
    (x[0], y[7]) = (0.0, 1.0);
    assert_eq!(p.violated(&x, &y), None);
    y[9] = 1.0;
    assert_eq!(p.violated(&x, &y), Some(8), "equality is enough");
    x[3] = 0.01;
    assert_eq!(p.violated(&x, &y), None, "outside of the box");
}

/// As many inputs as an image of ImageNet has, all bounds in one conjunction.
#[test]
fn a_large_property_is_read_at_once() {
    let bounds: String = (0..150_528).map(|i| format!("(>= X_{i} 0)(<= X_{i} 1)")).collect();
    let p = Property::parse(&format!("{}(assert (and {bounds}))(assert (>= Y_0 1))", declared(150_528, 1))).unwrap();
    assert_eq!((p.inputs(), p.regions()[0].upper()[150_527]), (150_528, 1.0));
}

/// Everything else that benchmarks and SMT-LIB write, on two inputs and two outputs with X_1 in [0, 1].
#[test]
fn every_form_of_a_formula() {
    let head = format!(
        "(set-logic QF_LRA)\n(set-info :source |a \"(; b|)\n{}(assert (and (>= X_1 0) (<= X_1 1)))\n",
        declared(2, 2)
    );
    let one = "[0, 1]";
    for (rest, want) in [
        // Numbers on the left, chains, minus and division as functions, scientific notation.
        ("(assert (<= -1 X_0)) (assert (>= .5 X_0))", &["[-1, 0.5] [0, 1]"][..]),
        ("(assert (<= (- 1.5) X_0 (/ 1 4)))", &["[-1.5, 0.25] [0, 1]"]),
        (
            "(assert (and (= X_0 1e-3) (<= (+ (* 2.0 Y_0) Y_1 -3) (- Y_1 (* 0.5 (+ Y_0 4))))))",
            &["[0.001, 0.001] [0, 1]; +2.5 Y_0 <= 1"],
        ),
        ("(assert (= 2 (+ X_0 X_0)))", &["[1, 1] [0, 1]; -2 X_0 <= -2; +2 X_0 <= 2"]),
        // Strict bounds of inputs exclude their ends; not turns comparisons; a negated conjunction is a disjunction.
        (
            "(assert (and (< X_0 1) (> X_0 0.5))) (assert (not (<= Y_0 3)))",
            &["[0.5000000000000001, 0.9999999999999999] [0, 1]; -1 Y_0 < -3"],
        ),
        (
            "(assert (<= 0 X_0 1)) (assert (not (and (>= Y_0 0) (not (> Y_1 2)))))",
            &["[0, 1] [0, 1]; +1 Y_0 < 0", "[0, 1] [0, 1]; -1 Y_1 < -2"],
        ),
        (
            "(assert (<= 0 X_0 1)) (assert (not (= Y_0 Y_1)))",
            &["[0, 1] [0, 1]; +1 Y_0 -1 Y_1 < 0", "[0, 1] [0, 1]; -1 Y_0 +1 Y_1 < 0"],
        ),
        // Boxes in disjunctions; two disjunctions multiply; cases without points are left out.
        (
            "(assert (or (and (<= 0 X_0 1) (>= Y_0 1)) (and (<= 2 X_0 3) (>= Y_0 2)))) (assert (or (<= Y_1 5) (<= X_1 0.5)))",
            &[
                "[0, 1] [0, 1]; -1 Y_0 <= -1; +1 Y_1 <= 5",
                "[0, 1] [0, 0.5]; -1 Y_0 <= -1",
                "[2, 3] [0, 1]; -1 Y_0 <= -2; +1 Y_1 <= 5",
                "[2, 3] [0, 0.5]; -1 Y_0 <= -2",
            ],
        ),
        (
            "(assert (or (<= 0 X_0 1) (<= 5 X_0 6))) (assert (<= X_0 2)) (assert (or false (<= X_1 1)))",
            &["[0, 1] [0, 1]"],
        ),
        // Constraints on several inputs; variables that cancel.
        ("(assert (<= 0 X_0 1)) (assert (<= (+ X_0 X_1) (- Y_0 (- Y_0 1))))", &["[0, 1] [0, 1]; +1 X_0 +1 X_1 <= 1"]),
        ("(assert (<= 0 X_0 1)) (assert (>= (- Y_0 Y_0) -1)) (check-sat)(get-model) ; the end", &["[0, 1] [0, 1]"]),
    ] {
        let p = Property::parse(&format!("{head}{rest}")).unwrap_or_else(|e| panic!("{rest}: {e}"));
        let want: Vec<String> = want.iter().map(|w| w.replace("[0, 1]", one)).collect();
        assert_eq!(told(&p), want, "{rest}");
    }
    // Declarations in any order, functions without arguments, a byte order mark, old line ends.
    let p = Property::parse(
        "\u{feff}(declare-fun Y_0 () Real)\r\n(declare-const X_1 Real)(declare-const X_0 Real)(assert (<= 0 X_0 X_1 1)) (assert (and (>= X_1 0) (<= X_0 1) (<= Y_0 1)))",
    );
    assert_eq!(told(&p.unwrap()), ["[0, 1] [0, 1]; +1 X_0 -1 X_1 <= 0; +1 Y_0 <= 1"]);
}

#[test]
fn errors_have_line_and_column() {
    let head = declared(2, 1);
    let full = format!("{head}(assert (<= 0 X_0 1))\n(assert (<= 0 X_1 1))\n");
    for (text, want) in [
        (String::new(), "line 1, column 1: X_0 is not declared"),
        ("(declare-const X_0 Real)".to_owned(), "Y_0 is not declared"),
        ("(declare-const X_1 Real)(declare-const Y_0 Real)(assert (<= X_1 1))".to_owned(), "X_0 is not declared"),
        (head.clone(), "there is no assertion"),
        (format!("{head}(assert (<= 0 X_0 1))\n  (assert (<= X_1 1))"), "line 5, column 3: X_1 has no lower bound"),
        (
            format!("{head}(assert (<= 0 X_0 1))\n(assert (or (<= 0 X_1 1)\n (>= X_1 2)))"),
            "line 6, column 2: X_1 has no upper bound in the case that starts here",
        ),
        (
            format!("{full}(assert (>= X_1 2))"),
            "line 6, column 1: no input satisfies the assertions: the bounds of X_1 contradict each other: at least 2 and at most 1",
        ),
        (
            format!("{full}(assert (or (>= X_1 2) (and (<= X_0 0.5) (> X_0 0.5))))"),
            "no input satisfies the assertions: the bounds of X_1",
        ),
        (format!("{full}(assert false)"), "a disjunction without cases"),
        (format!("{full}(assert (<= 2 1))"), "a comparison of numbers is false"),
        (
            format!("{full}(assert (<= Y_0 (* X_0 X_1)))"),
            "line 6, column 17: a product of two variables, which is not linear",
        ),
        (format!("{full}(assert (<= Y_0 (/ 1 X_1)))"), "a division by a variable, which is not linear"),
        (format!("{full}(assert (<= Y_0 (/ 1 0)))"), "a division by 0"),
        (
            format!("{full}(assert (<= Y_1 1))"),
            "line 6, column 13: `Y_1` is neither a number nor a variable that was declared",
        ),
        (format!("{full}(assert (<= Y_0 inf))"), "`inf` is neither"),
        (format!("{full}(assert (<= Y_0 NaN))"), "`NaN` is neither"),
        (format!("{full}(assert (<= Y_0 --1))"), "`--1` is neither"),
        (format!("{full}(assert (<= Y_0 1e999))"), "the number 1e999 is too large"),
        (format!("{full}(assert (<= (* 1e300 1e300 Y_0) 1))"), "too large together"),
        (format!("{full}(assert (<= Y_0))"), "`<=` with 1 arguments"),
        (format!("{full}(assert (<= Y_0 (max Y_0 1)))"), "`max` is no operation of linear terms"),
        (format!("{full}(assert (xor true false))"), "`xor` is no operation of formulas"),
        (format!("{full}(assert Y_0)"), "`Y_0` is no formula"),
        (format!("{full}(assert ())"), "a formula is needed"),
        (format!("{full}(assert (<= Y_0 ()))"), "a term is needed"),
        (format!("{full}(assert)"), "an assertion is (assert FORMULA)"),
        (format!("{full}(assert (<= Y_0 1)"), "line 6, column 1: this parenthesis is not closed"),
        (format!("{full}(assert (<= Y_0 1))) "), "line 6, column 20: a parenthesis is closed that was not opened"),
        (format!("{full}(define-fun f () Real 1)"), "the command `define-fun` is not known"),
        (format!("{full}é"), "line 6, column 1: a command is needed"),
        (format!("{full}(set-info \"a)"), "line 6, column 11: a quotation that does not end"),
        (format!("{full}(declare-const X_0 Real)"), "`X_0` was declared before"),
        (format!("{full}(declare-const X_01 Real)"), "the names of variables are X_0, X_1"),
        (format!("{full}(declare-const X_99999999999999999999 Real)"), "the names of variables"),
        (format!("{full}(declare-const X_999999999 Real)"), "variables"),
        (format!("{full}(declare-const X_2 Int)"), "only variables of the type Real"),
        (format!("{full}(declare-const X_2)"), "a declaration is"),
        ("(vnnlib-version <2.0>)".to_owned(), "is of VNN-LIB 2; version 1 is read"),
        (format!("{full}{}", "(".repeat(100_000)), "more than 400 parentheses in one another"),
        (format!("{full}{}", "(assert (or (<= Y_0 1) (<= Y_0 2)))".repeat(40)), "stand for more than 65536 cases"),
    ] {
        let e = Property::parse(&text).unwrap_err().to_string();
        assert!(e.starts_with("VNN-LIB property: line ") && e.contains(want), "{want}: {e}");
    }
}

/// Words of the language in any order, so that the deeper parts of the reader are reached.
fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "(",
        "(",
        "(",
        ")",
        ")",
        ")",
        "assert",
        "declare-const",
        "and",
        "or",
        "not",
        "<=",
        ">=",
        "<",
        ">",
        "=",
        "+",
        "-",
        "*",
        "/",
        "X_0",
        "X_1",
        "Y_0",
        "Real",
        "1",
        "-2.5",
        "0",
        "1e308",
        "true",
        "false",
        ";",
        "\n",
        "\"",
        "|",
        "é",
        "X_",
        "_",
        "1e999",
        "(assert (",
        "(<= X_0 1)",
        "(>= X_0 0)",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|w| w.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_panics(text in any::<String>(), words in soup()) {
        let head = declared(2, 1);
        for text in [&text, &words, &format!("{head}{words}"), &format!("{head}(assert (<= 0 X_0 1 X_1 1)) (assert {words})")] {
            match Property::parse(text) {
                Ok(p) => prop_assert!(p.regions().iter().all(|r| r.lower().iter().zip(r.upper()).all(|(l, u)| l.is_finite() && u.is_finite() && l <= u))),
                Err(e) => prop_assert!(e.to_string().contains("line ")),
            }
        }
    }
}
