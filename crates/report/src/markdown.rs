//! A little of Markdown as HTML: paragraphs, lists, bold and italic words, code.

use crate::page::escape;

/// Wraps the text between two marks in a tag.
fn marked(text: &str, mark: &str, tag: &str) -> String {
    let piece = |(i, t): (usize, &str)| if i % 2 == 1 { format!("<{tag}>{t}</{tag}>") } else { t.to_owned() };
    text.split(mark).enumerate().map(piece).collect()
}

fn words(text: &str) -> String {
    // Marks inside of code are text.
    let parts = escape(text);
    let parts = parts.split('`').enumerate();
    parts
        .map(|(i, t)| match i % 2 {
            1 => format!("<code>{t}</code>"),
            _ => marked(&marked(t, "**", "b"), "*", "i"),
        })
        .collect()
}

/// A text with paragraphs and lists (lines that start with `- `) as HTML.
pub(crate) fn html(text: &str) -> String {
    let block = |p: &str| {
        if p.starts_with("- ") {
            let items = format!("\n{p}");
            let items = items.split("\n- ").skip(1).map(|t| format!("<li>{}</li>", words(&t.replace('\n', " "))));
            format!("<ul>{}</ul>\n", items.collect::<String>())
        } else {
            format!("<p>{}</p>\n", words(&p.replace('\n', " ")))
        }
    };
    text.trim().split("\n\n").map(|p| block(p.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn paragraphs_lists_and_words() {
        let page = html("**What.** A `*` and an *angle* <b>.\n\n- one\n  more\n- two `x`\n");
        assert_eq!(
            page,
            "<p><b>What.</b> A <code>*</code> and an <i>angle</i> &lt;b&gt;.</p>\n<ul><li>one   more</li><li>two <code>x</code></li></ul>\n"
        );
    }
}
