"""One reader for each kind of source; `text.py` explains what those of text files share."""
