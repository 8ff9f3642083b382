//! The Rust client of gobbq: sessions that survive connections. It is also the bot.
