"""`efficientdet-pipeline` with `words`; its screen goes to the end of the file `log`.

Run by its path, with both as globals: a child of the suite may find another package of the name `tests`.
"""

import os

from pipeline.cli import main

given = globals()
screen = os.open(given["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(screen, 1)
os.dup2(screen, 2)
main(given["words"])
