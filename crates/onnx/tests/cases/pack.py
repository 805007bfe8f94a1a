"""Packs conformance cases of ONNX into one file.

The cases are those of the wheel `onnx` 1.17.0 (Apache-2.0, https://github.com/onnx/onnx), folder onnx/backend/test/data, of which
`conformance_list.txt` beside this script names the ones that are made of operators that Sconce reads.

    pip download onnx==1.17.0 --no-deps && unzip onnx-1.17.0-*.whl -d wheel
    python pack.py wheel/onnx/backend/test/data cases.safetensors.gz
"""
import gzip
import pathlib
import sys

import numpy as np
from safetensors.numpy import save

data, target = pathlib.Path(sys.argv[1]), sys.argv[2]
entries = {}
for line in open(pathlib.Path(__file__).parent / "list.txt"):
    case = line.strip()
    if not case or case.startswith("#"):
        continue
    files = [data / case / "model.onnx", *sorted((data / case / "test_data_set_0").glob("*.pb"))]
    if sum(f.stat().st_size for f in files) > 40_000:
        continue
    for f in files:
        entries[f"{case}/{f.name}"] = np.frombuffer(f.read_bytes(), dtype=np.uint8)
with open(target, "wb") as f:
    f.write(gzip.compress(save(entries), compresslevel=9, mtime=0))
print(len({k.rsplit("/", 1)[0] for k in entries}), "cases,", pathlib.Path(target).stat().st_size, "bytes")
