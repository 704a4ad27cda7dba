"""Where labelled images come from: a plug-in for each kind of files."""
