//! The reqwest implementation of [`super::Transport`]; the only file that names reqwest.
