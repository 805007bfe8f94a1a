"""Makes textures-idx3-ubyte.gz, the 16 grey textures of "garments in cloth": floor textures of Freedoom (BSD, three clauses; LICENSE and CREDITS
are Freedoom's own files), chosen so that 28 x 28 cuts of different ones look different; coarse ones are halved (the mean of 2 x 2 pixels)
and tiled, which floor textures are made for. Run once, by hand, on Debian's package:

    apt-get download freedoom && dpkg -x freedoom_0.12.1-2_all.deb x
    python make_textures.py x/usr/share/games/doom/freedoom2.wad

Each is grey (ITU-R 601) and stretched to mean 128 and standard deviation 40 before it is rounded to a byte. Needs no package."""
import gzip, os, struct, sys

FLATS = ["AQF047", "AQF005", "AQF019", "AQF017", "FCGRATE1", "FLAT4", "FLAT20", "AQF027", "FLAT5_7", "RROCK02", "SWATER1", "RROCK20",
         "SLIME01", "RROCK10", "AQF003", "AQF002"]
HALVED = {"AQF047", "FLAT4", "RROCK02", "SWATER1"}
wad = open(sys.argv[1], "rb").read()
_, count, at = struct.unpack("<4sii", wad[:12])
entries = [struct.unpack("<ii8s", wad[at + 16 * i : at + 16 * i + 16]) for i in range(count)]
lumps = [(name.rstrip(b"\0").decode("latin1"), start, size) for start, size, name in entries]
names = [name for name, _, _ in lumps]
palette = wad[lumps[names.index("PLAYPAL")][1] :][:768]
grey = [0.299 * palette[3 * i] + 0.587 * palette[3 * i + 1] + 0.114 * palette[3 * i + 2] for i in range(256)]
flats = {name: start for name, start, size in lumps[names.index("F_START") : names.index("F_END")] if size == 4096}
out = struct.pack(">BBBBIII", 0, 0, 8, 3, len(FLATS), 64, 64)
for name in FLATS:
    values = [grey[b] for b in wad[flats[name] : flats[name] + 4096]]
    if name in HALVED:
        at = lambda y, x: values[64 * (y % 64) + x % 64]
        mean4 = lambda y, x: (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4
        values = [mean4(2 * (i // 64), 2 * (i % 64)) for i in range(4096)]
    mean = sum(values) / 4096
    sd = (sum((v - mean) ** 2 for v in values) / 4096) ** 0.5
    out += bytes(min(255, max(0, round(128 + 40 * (v - mean) / sd))) for v in values)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "textures-idx3-ubyte.gz")
with open(path, "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
    z.write(out)
print(len(FLATS), "textures,", os.path.getsize(path), "bytes")
