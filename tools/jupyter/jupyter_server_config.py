"""Settings of JupyterLab as `make lab` starts it, see tools/clean_notebook.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from clean_notebook import save_clean

c = get_config()  # noqa: F821 (Jupyter puts it into this file)
c.FileContentsManager.pre_save_hook = save_clean
