"""Makes austen.txt.gz, what ships of the six novels of Jane Austen (public domain): one paragraph a line, each chapter after a
line `# NOVEL, CHAPTER`. Run once, by hand, on the text of Debian's r-cran-janeaustenr (the Project Gutenberg editions):

    apt-get download r-cran-janeaustenr && dpkg -x r-cran-janeaustenr_*.deb x
    python austen_from_rdb.py x/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb > austen.txt
    python make_austen.py austen.txt
"""
import gzip, os, re, sys

NOVELS = ["EMMA", "MANSFIELD PARK", "NORTHANGER ABBEY", "Persuasion", "PRIDE AND PREJUDICE", "SENSE AND SENSIBILITY"]
END = re.compile(r"(the end|finis|a note on the text)\s*$", re.I)
CHAPTER = re.compile(r"\s*chapter ([ivxl]+|\d+)\.?\s*$", re.I)

text = open(sys.argv[1], encoding="utf-8").read()
out, novel, chapter, left = [], None, 0, list(NOVELS)
for paragraph in re.split(r"\n\s*\n", text):
    lines = [l.strip() for l in paragraph.strip().split("\n")]
    if END.match(lines[0]):
        novel = None  # what follows up to the next title is not the author's
    if left and left[0] in lines:
        novel, chapter = left.pop(0), 0
    elif CHAPTER.match(lines[0]):
        chapter += 1
        out.append(f"# {novel.title()}, {chapter}")
    elif novel and chapter and lines[0] and not re.match(r"volume [iv]+$", lines[0], re.I):
        out.append(" ".join(lines))
assert not left and chapter == 50, (left, chapter)
body = "\n".join(out) + "\n"
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "austen.txt.gz")
with open(path, "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
    z.write(body.encode())
print(len(body.split()), "words,", sum(l.startswith("# ") for l in out), "chapters,", len(out), "lines,", os.path.getsize(path), "bytes")
