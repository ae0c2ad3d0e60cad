"""The paper's experiments: their data, models and training, and what is read off the trials."""

from importlib.util import find_spec

_NEEDED = ("torchvision", "scipy", "sklearn", "pandas", "pyarrow", "tqdm")
if _missing := [name for name in _NEEDED if find_spec(name) is None]:
    raise ImportError(f"{', '.join(_missing)} missing: pip install 'pscore[experiments]'")
