#!/usr/bin/env bash
# threadpoolctl 3.0.0 to 3.4.0 do not see the BLAS inside NumPy 2's wheels, and say nothing.
#
# Versions: threadpoolctl 3.4.0 and 3.5.0, numpy 2.0.0, Linux on x86-64, CPython 3.10 to 3.12.
# Most would expect: any threadpoolctl 3 works with the NumPy that pip installs beside it; at least
#   `threadpool_limits(1)` would raise or warn if there was nothing that it could limit.
# What happens: `threadpool_info()` is [] and `threadpool_limits(1)` is a block that limits nothing,
#   without a word. NumPy 2's wheels renamed the library to libscipy_openblas; 3.5.0 is the first that
#   knows this name. No metadata forbids the pair.
# Why it matters: who trains small generators side by side limits each to one thread. With an older
#   lock file and NumPy 2 the limit is silently off, and two processes that share two cores can be
#   several times slower. Code that asks how many threads the BLAS has gets no answer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
cat > "$folder/see.py" <<'END'
import numpy
import threadpoolctl

numpy.ones((300, 300)) @ numpy.ones((300, 300))  # the BLAS is loaded and in use


def seen():
    return [(library["internal_api"], library["num_threads"])
            for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


with threadpoolctl.threadpool_limits(1):
    limited = seen()
print(f"numpy {numpy.__version__}, threadpoolctl {threadpoolctl.__version__}:"
      f" within threadpool_limits(1) it sees {limited}")
assert limited == ([] if threadpoolctl.__version__ == "3.4.0" else [("openblas", 1)])
END
for version in 3.4.0 3.5.0; do
    "${pip[@]}" numpy==2.0.0 "threadpoolctl==$version"
    "$folder/venv/bin/python" "$folder/see.py"
done
echo "as described"
