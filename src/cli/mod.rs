//! The command line: one file per subcommand, and the settings.

pub mod crds;
