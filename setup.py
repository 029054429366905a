"""The one thing that pyproject.toml can't say: the kernel, a C extension of the stable ABI that may be left out.

Where it can't be built the install goes on; the program says at its start that it decodes with the reference.
"""

from pathlib import Path

from setuptools import Extension, setup

OLDEST = 0x030B0000
"""Python 3.11: one file serves every later version too."""
SOURCES = "app/native/src"

setup(
    ext_modules=[
        Extension(
            "app.native._kernel",
            sorted(path.as_posix() for path in Path(SOURCES).glob("*.c")),
            depends=sorted(path.as_posix() for path in Path(SOURCES).glob("*.h")),
            define_macros=[("Py_LIMITED_API", f"0x{OLDEST:08x}")],
            extra_compile_args=["-std=c11", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
