//! The providers' management APIs in process: what tests, first runs and provider authors work against.
